// One row of the list: made once, then changed only where something is another.

import { clean, bytes, plural } from "./text.js";
import { ago, absolute, until } from "./times.js";
import { STATES } from "./words.js";
import { h, svg, setAttribute, setText } from "./dom.js";

/** The state as a shape and a word, in its colour; `showState` changes it. */
export function stateBadge() {
  const path = svg("path", { d: "" });
  const icon = svg("svg", { viewBox: "0 0 16 16", class: "icon", "aria-hidden": "true" }, path);
  const word = h("span", { class: "word" });
  return h("span", { class: "state" }, icon, word);
}

export function showState(badge, status) {
  const known = STATES[status] ?? { word: clean(status, 20), icon: [""] };
  setAttribute(badge, "data-state", status);
  setAttribute(badge.querySelector("path"), "d", known.icon[0]);
  setText(badge.querySelector(".word"), known.word);
}

export function makeRow(key) {
  const parts = {
    badge: stateBadge(),
    name: h("bdi", {}),
    note: h("span", { class: "note" }),
    size: h("span", { class: "size" }),
    age: h("time", { class: "age" }),
  };
  const link = h(
    "a",
    { class: "row", href: `#${key}`, tabindex: "-1", draggable: "false" },
    parts.badge,
    h("span", { class: "name" }, parts.name),
    parts.note,
    parts.size,
    parts.age,
  );
  const item = h("li", {}, link);
  return { key, item, link, ...parts };
}

/** Show `job` in the row, at place `index` of `total` (-1: unknown). */
export function showRow(row, job, index, total) {
  showState(row.badge, job.status);
  const name = job.name || job.key;
  setText(row.name, clean(name, 300));
  setAttribute(row.name, "title", clean(name, 500));
  row.link.classList.toggle("nameless", !job.name);
  row.link.classList.toggle("gone", job.gone);
  setText(row.note, note(job));
  setText(row.size, job.size == null ? "" : bytes(job.size));
  setText(row.age, ago(job.added));
  setAttribute(row.age, "datetime", job.added);
  setAttribute(row.age, "title", `Added ${absolute(job.added)}`);
  setAttribute(row.item, "aria-posinset", String(index + 1));
  setAttribute(row.item, "aria-setsize", String(total));
  row.item.style.setProperty("--i", index);
}

/** The few words that say more than the state does. */
function note(job) {
  switch (job.status) {
    case "fetched":
      return job.files == null ? "" : plural(job.files, "file");
    case "waiting":
      return job.nextAttempt ? `again ${until(job.nextAttempt)}` : "";
    case "gave_up":
      return `after ${plural(job.attempts, "try", "tries")}`;
    case "fetching":
      return job.attempts > 0 ? `try ${job.attempts + 1}` : "";
    default:
      return "";
  }
}
