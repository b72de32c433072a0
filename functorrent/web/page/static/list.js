// The list: only the rows in view are in the document, however many there are. Nothing moves under the
// pointer: while a person is at the rows, newcomers wait behind a bar that counts them.

import { getJobs } from "./api.js";
import { byId, oncePerFrame, setAttribute, setText } from "./dom.js";
import { Jobs } from "./jobs.js";
import { makeRow, showRow } from "./row.js";
import { count } from "./text.js";

/** Rows beyond the window's edges, so that a quick turn of the wheel shows no gap. */
const SPARE = 12;
/** The next page is asked for when this many rows are left. */
const AHEAD = 30;
/** Changes of a burst are kept by job until the next frame; of more than this many, none is. */
const PENDING = 20_000;
/** A list that must be loaded again is not loaded more often than this (milliseconds). */
const RELOAD = 1_000;
/** ... but after a failure that neither a new connection nor a login will mend, it is, so much later. */
const LATER = 3_000;
/** No more pages than these are loaded again at once. */
const PAGES = 10;
/** Ages are told anew this often (milliseconds). */
const TICK = 5_000;

export class List {
  /** `on.empty(filter, nothing)`: called when the shown list became empty (true) or not. */
  constructor(on) {
    this.on = on;
    this.jobs = new Jobs();
    this.rows = new Map();
    this.pending = new Map();
    this.active = null;
    this.opened = null;
    this.pointed = false;
    this.asking = 0;
    this.again = 0;
    this.loadedAt = -Infinity;
    /** "all" or "more" while an answer is due. */
    this.loading = null;
    this.failed = false;
    this.box = byId("rows");
    this.toolbar = byId("toolbar");
    this.bar = byId("fresh");
    this.moreButton = byId("more");
    this.problem = byId("list-problem");
    this.draw = oncePerFrame(() => this.frame());
    this.listen();
  }

  listen() {
    addEventListener("scroll", this.draw, { passive: true });
    addEventListener("resize", this.draw, { passive: true });
    // A touch leaves no pointer behind.
    this.box.addEventListener("pointerover", (event) => (this.pointed = event.pointerType === "mouse"));
    this.box.addEventListener("pointerleave", () => {
      this.pointed = false;
      this.draw();
    });
    this.box.addEventListener("focusin", (event) => this.focused(event));
    this.box.addEventListener("focusout", this.draw);
    this.box.addEventListener("keydown", (event) => this.key(event));
    this.bar.addEventListener("click", () => this.toTop());
    this.moreButton.addEventListener("click", () => this.loadMore());
    document.addEventListener("visibilitychange", this.draw);
    setInterval(this.draw, TICK);
  }

  // -- loading ---------------------------------------------------------------------------------

  /** Show another listing, from its beginning. */
  show(filter) {
    this.jobs.filter = { ...filter };
    this.jobs.clear();
    this.active = null;
    this.loadedAt = -Infinity;
    this.load();
  }

  /** Load again what is shown, at most once in a while: what was missed is in it. */
  load() {
    clearTimeout(this.again);
    const early = this.loadedAt + RELOAD - performance.now();
    if (early > 0) {
      this.again = setTimeout(() => this.load(), early);
      return;
    }
    this.loadedAt = performance.now();
    // Who has read on keeps the place.
    const pages = this.above() > 0 ? Math.min(PAGES, Math.ceil(this.jobs.list.length / 100)) : 1;
    this.ask("all", null, Math.max(1, pages), (page) => this.jobs.replace(page));
  }

  loadMore() {
    if (this.loading === null && this.jobs.next !== null) {
      this.ask("more", this.jobs.next, 1, (page) => this.jobs.append(page));
    }
  }

  async ask(what, cursor, pages, take) {
    const number = ++this.asking;
    this.loading = what;
    this.box.setAttribute("aria-busy", "true");
    let error = null;
    const whole = { magnets: [], next: cursor };
    try {
      do {
        const page = await getJobs({ ...this.jobs.filter, cursor: whole.next });
        whole.magnets.push(...page.magnets);
        whole.next = page.next;
        pages -= 1;
      } while (pages > 0 && whole.next !== null && number === this.asking);
    } catch (failure) {
      error = failure;
    }
    // Another listing may have been asked for meanwhile.
    if (number === this.asking) {
      this.loading = null;
      this.box.removeAttribute("aria-busy");
      this.tell(error);
      if (error === null) {
        take(whole);
      } else if (what === "all" && error.status !== 401 && error.status !== 0) {
        this.again = setTimeout(() => this.load(), LATER);
      }
      this.draw();
    }
  }

  tell(error) {
    this.failed = error !== null;
    // Being refused has a dialog of its own, no connection a notice.
    this.problem.hidden = error === null || error.status === 401 || error.status === 0;
    setText(this.problem, error === null ? "" : `The list could not be loaded: ${error.message}`);
  }

  // -- changes ---------------------------------------------------------------------------------

  /** A job has changed. Cheap: work is done once in a frame. */
  change(told) {
    this.pending.set(told.infohash ?? told.infohash_v2, told);
    if (this.pending.size > PENDING) {
      // Frames are not drawn in a hidden tab, and this would grow for ever.
      this.pending.clear();
      this.jobs.flood = true;
    }
    this.draw();
  }

  /** Whether somebody is at the rows, so that they must not move. */
  held() {
    return this.pointed || this.box.contains(document.activeElement) || this.above() > 0;
  }

  /** How far the beginning of the list has been scrolled out of view. */
  above() {
    return this.toolbar.getBoundingClientRect().bottom - this.box.getBoundingClientRect().top - 8;
  }

  frame() {
    // While a listing is on its way, changes wait for it: they may be newer than it.
    if (this.jobs.loaded && this.loading !== "all") {
      for (const told of this.pending.values()) {
        this.jobs.change(told);
      }
      this.pending.clear();
      if (!this.held() && !this.jobs.settle()) {
        this.load();
      }
    }
    this.render();
  }

  toTop() {
    byId("list").scrollIntoView({ block: "start" });
    this.pointed = false;
    if (!this.jobs.settle()) {
      this.load();
    }
    this.draw();
    if (document.activeElement === this.bar) {
      this.focusAt(0);
    }
  }

  // -- drawing ---------------------------------------------------------------------------------

  render() {
    const { list, next, loaded } = this.jobs;
    this.box.style.setProperty("--n", list.length);
    const place = this.box.getBoundingClientRect();
    const height = list.length ? place.height / list.length : 1;
    const first = Math.max(0, Math.floor(-place.top / height) - SPARE);
    const end = Math.min(list.length, Math.ceil((innerHeight - place.top) / height) + SPARE);
    const total = next === null ? list.length : -1;
    const wanted = new Map();
    for (let index = first; index < end; index += 1) {
      wanted.set(list[index].key, index);
    }
    this.keepFocused(wanted);
    for (const [key, row] of this.rows) {
      if (!wanted.has(key)) {
        row.item.remove();
        this.rows.delete(key);
      }
    }
    let before = null;
    for (const [key, index] of wanted) {
      let row = this.rows.get(key);
      if (!row) {
        row = makeRow(key);
        this.rows.set(key, row);
      }
      showRow(row, list[index], index, total);
      row.link.classList.toggle("opened", key === this.opened);
      setAttribute(row.link, "aria-current", key === this.opened ? "true" : null);
      // In the document in the order they are seen, but never taken out and put back: that loses focus.
      const follows = before === null ? this.box.firstElementChild : before.nextElementSibling;
      if (follows !== row.item) {
        this.box.insertBefore(row.item, follows);
      }
      before = row.item;
    }
    this.tabStop(list, first, end);
    this.bars();
    this.moreButton.hidden = next === null || !loaded;
    if (loaded && next !== null && end > list.length - AHEAD && !this.failed) {
      this.loadMore();
    }
    this.on.empty(this.jobs.filter, loaded && list.length === 0);
  }

  /** The row that has the focus stays in the document when it is scrolled away. */
  keepFocused(wanted) {
    const key = this.box.contains(document.activeElement) ? this.active : null;
    if (key !== null && !wanted.has(key)) {
      const index = this.jobs.list.findIndex((job) => job.key === key);
      if (index >= 0) {
        wanted.set(key, index);
      }
    }
  }

  bars() {
    const { fresh, flood } = this.jobs;
    const there = flood || fresh.size > 0;
    if (there) {
      setText(this.bar, flood ? "Many new — show them" : `${count(fresh.size)} new — show`);
    }
    this.bar.classList.toggle("there", there);
    this.bar.tabIndex = there ? 0 : -1;
    this.bar.setAttribute("aria-hidden", String(!there));
  }

  // -- the keyboard ----------------------------------------------------------------------------

  /** One row is in the order of tabs; the arrow keys go on from there. */
  tabStop(list, first, end) {
    const known = this.active !== null && this.rows.has(this.active);
    const seen = known ? this.active : (list[Math.min(first + (first ? SPARE : 0), end - 1)]?.key ?? null);
    for (const [key, row] of this.rows) {
      row.link.tabIndex = key === seen ? 0 : -1;
    }
  }

  focused(event) {
    const link = event.target.closest("a.row");
    if (link) {
      this.active = link.hash.slice(1);
      this.draw();
    }
  }

  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) {
      return;
    }
    const { list } = this.jobs;
    const here = list.findIndex((job) => job.key === this.active);
    const step = Math.max(1, Math.floor((innerHeight * 0.7 * list.length) / this.box.offsetHeight));
    const to = {
      ArrowDown: here + 1,
      ArrowUp: here - 1,
      PageDown: here + step,
      PageUp: here - step,
      Home: 0,
      End: list.length - 1,
    }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      this.focusAt(Math.min(list.length - 1, Math.max(0, to)));
    }
  }

  focusAt(index) {
    const job = this.jobs.list[index];
    if (!job) {
      return;
    }
    this.active = job.key;
    const row = this.rows.get(job.key);
    if (!row) {
      const place = this.box.getBoundingClientRect();
      const height = place.height / this.jobs.list.length;
      scrollTo(scrollX, scrollY + place.top + height * index - innerHeight / 2);
      this.render();
    }
    // The scroll margin keeps it clear of the bar that sticks to the top.
    this.rows.get(job.key)?.link.focus({ preventScroll: true });
    this.rows.get(job.key)?.link.scrollIntoView({ block: "nearest" });
  }

  /** Back to the row of a job, where it is in the list. */
  focusKey(key) {
    const index = this.jobs.list.findIndex((job) => job.key === key);
    if (index >= 0) {
      this.focusAt(index);
    }
    return index >= 0;
  }

  /** The job whose detail is open (or null) has a mark. */
  mark(key) {
    this.opened = key;
    this.draw();
  }
}
