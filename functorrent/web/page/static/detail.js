// One job, wide open: what it is, what was tried, and what can be done about it.

import { getJob, keyOf } from "./api.js";
import { actions } from "./actions.js";
import { byId, h, setText } from "./dom.js";
import { fileTree } from "./files.js";
import { report } from "./report.js";
import { stateBadge, showState } from "./row.js";
import { bytes, clean, count, plural } from "./text.js";
import { absolute, ago, span, until } from "./times.js";
import { GOES_ON } from "./words.js";

/** While changes pour in, the open job is asked for no more often than this (milliseconds). */
const CALM = 1_000;

export class Detail {
  /** `on.closed(key)`: the panel was closed; `on.say(text, undo)`: something to tell. */
  constructor(on) {
    this.on = on;
    this.key = null;
    this.asking = 0;
    this.later = 0;
    this.askedAt = -Infinity;
    this.files = null;
    this.panel = byId("detail");
    this.body = byId("detail-body");
    this.heading = byId("detail-name");
    this.badge = stateBadge();
    byId("detail-state").append(this.badge);
    byId("detail-close").addEventListener("click", () => this.close());
    setInterval(() => this.times(), 10_000);
  }

  /** Open the job with this key. */
  open(key) {
    if (this.key === key) {
      return;
    }
    this.key = key;
    this.files = null;
    this.shown = null;
    this.panel.hidden = false;
    document.documentElement.classList.add("with-detail");
    setText(this.heading, "…");
    this.badge.hidden = true;
    this.body.replaceChildren(h("p", { class: "quiet" }, "Loading…"));
    this.panel.scrollTop = 0;
    this.heading.focus({ preventScroll: true });
    this.ask();
  }

  /** Close it, by a person's wish: the address says so, and whoever opened it gets the focus. */
  close() {
    const key = this.key;
    this.hide();
    history.pushState(null, "", location.pathname + location.search);
    this.on.closed(key);
  }

  hide() {
    this.key = null;
    this.asking += 1;
    clearTimeout(this.later);
    this.panel.hidden = true;
    document.documentElement.classList.remove("with-detail");
  }

  /** A job has changed; the stream brings no report, so the open one is asked for again. */
  change(told) {
    if (this.key !== null && keyOf(told) === this.key && told.updated !== this.shown?.updated) {
      this.refresh();
    }
  }

  refresh() {
    clearTimeout(this.later);
    this.later = setTimeout(() => this.ask(), Math.max(0, this.askedAt + CALM - performance.now()));
  }

  async ask() {
    const key = this.key;
    if (key === null) {
      return;
    }
    const number = ++this.asking;
    this.askedAt = performance.now();
    try {
      const job = await getJob(key);
      if (number === this.asking) {
        this.show(job);
      }
    } catch (error) {
      if (number === this.asking && this.shown === null) {
        this.refuse(error);
      }
    }
  }

  refuse(error) {
    setText(this.heading, error.status === 404 ? "Not here" : "Could not be loaded");
    const words = error.status === 404 ? "There is no magnet with this infohash." : error.message;
    const again = h("button", { type: "button", onclick: () => this.ask() }, "Load again");
    this.body.replaceChildren(h("p", {}, words), error.status === 404 ? "" : again);
  }

  show(job) {
    const had = this.body.contains(document.activeElement) ? document.activeElement : null;
    this.shown = job;
    setText(this.heading, clean(job.name || this.key, 1500));
    this.heading.classList.toggle("nameless", !job.name);
    this.badge.hidden = false;
    showState(this.badge, job.status);
    if (job.status !== "fetched") {
      this.files = null;
    } else if (this.files === null) {
      this.files = fileTree(this.key);
    }
    this.body.replaceChildren(
      ...[this.standing(job), actions(job, this), facts(job, this.key), this.files, report(job)].filter(Boolean),
    );
    // What was pressed may be another button now, and has the focus all the same.
    if (had) {
      const same = this.body.contains(had) ? had : this.body.querySelector(`[data-does="${had.dataset.does}"]`);
      (same ?? this.body.querySelector("button, a"))?.focus({ preventScroll: true });
    }
    this.times();
  }

  /** One line that says where it stands. */
  standing(job) {
    this.line = h("p", { class: "standing" });
    return this.line;
  }

  times() {
    if (this.shown !== null && this.line) {
      setText(this.line, standing(this.shown));
    }
  }
}

function standing(job) {
  const tries = plural(job.attempts, "try", "tries");
  switch (job.status) {
    case "queued":
      return job.attempts ? `In the queue, after ${tries}.` : "In the queue: it has not been tried yet.";
    case "fetching":
      return "Being fetched now.";
    case "waiting":
      return job.next_attempt === null
        ? `Not resolved after ${tries}; it will be tried again.`
        : `Not resolved after ${tries}. Tries again ${until(job.next_attempt)} (${absolute(job.next_attempt)}).`;
    case "fetched":
      return job.seconds === null ? "It is here." : `It is here: it took ${seconds(job.seconds)}.`;
    case "gave_up":
      return `Given up after ${tries}. “Try again” puts it back into the queue.`;
    case "cancelled":
      return "Cancelled. “Try again” puts it back into the queue.";
    default:
      return "";
  }
}

const seconds = (value) => (value < 10 ? `${value.toFixed(1)} s` : span(value));

function facts(job, key) {
  const list = h("dl", { class: "facts" });
  const add = (term, ...value) => list.append(h("div", {}, h("dt", {}, term), h("dd", {}, ...value)));
  const time = (iso) => h("time", { datetime: iso, title: absolute(iso) }, `${absolute(iso)} (${ago(iso)})`);
  if (job.size !== null) {
    add("Size", `${bytes(job.size)} (${count(job.size)} bytes)`);
  }
  if (job.files !== null) {
    add("Files", count(job.files));
  }
  if (job.private) {
    add("Private", "yes: only its own trackers are to be asked for peers");
  }
  add("Added", time(job.added));
  add("Changed", time(job.updated));
  if (job.attempts && !GOES_ON.has(job.status)) {
    add("Tries", count(job.attempts));
  }
  if (job.priority) {
    add("Priority", String(job.priority));
  }
  if (job.file) {
    add("File", h("bdi", { class: "path" }, clean(job.file, 1000)));
  }
  if (job.source) {
    const line = job.line === null ? "" : `, line ${count(job.line)}`;
    add("Came from", h("bdi", {}, clean(job.source, 300)), line);
  }
  add("Infohash", h("code", {}, job.infohash ?? key));
  if (job.infohash_v2 && job.infohash) {
    add("Infohash (v2)", h("code", {}, job.infohash_v2));
  }
  return list;
}
