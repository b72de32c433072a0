// Which jobs are listed: tabs by state with their counts, and a search.

import { byId, h, setText } from "./dom.js";
import { stateBadge, showState } from "./row.js";
import { count } from "./text.js";
import { STATES } from "./words.js";

/** A pause in typing this long (milliseconds) asks the daemon. */
const PAUSE = 250;
/** Shorter words than this are not searched for: the API's rule. */
const SHORTEST = 3;
const HASH = /urn:btih:([0-9a-f]{40})|urn:btmh:1220([0-9a-f]{64})/i;

/** `changed({status, q})` is called with each new choice. Returns {choose, counts, clear}. */
export function filters(changed) {
  const tabs = byId("tabs");
  const search = byId("search");
  const hint = byId("search-hint");
  const numbers = new Map();
  let status = null;
  let q = "";
  let pause = 0;

  for (const value of ["", ...Object.keys(STATES)]) {
    const number = h("span", { class: "number" });
    numbers.set(value, number);
    const word = value ? stateBadge() : h("span", {}, "All");
    if (value) {
      showState(word, value);
    }
    const radio = h("input", { type: "radio", name: "status", value, checked: value === "" });
    tabs.append(h("label", { class: "tab" }, radio, word, number));
  }

  function choose(value) {
    status = value || null;
    changed({ status, q });
  }

  function searched() {
    clearTimeout(pause);
    const typed = search.value.trim();
    const magnet = HASH.exec(typed);
    const wanted = (magnet ? (magnet[1] ?? magnet[2]) : typed).toLowerCase();
    const short = wanted.length > 0 && wanted.length < SHORTEST;
    hint.hidden = !short;
    const next = short ? "" : wanted;
    if (next !== q) {
      q = next;
      changed({ status, q });
    }
  }

  function clear() {
    search.value = "";
    searched();
  }

  tabs.addEventListener("change", (event) => choose(event.target.value));
  search.addEventListener("input", () => {
    clearTimeout(pause);
    pause = setTimeout(searched, PAUSE);
  });
  byId("search-form").addEventListener("submit", (event) => {
    event.preventDefault();
    searched();
  });
  search.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && search.value) {
      event.stopPropagation();
      clear();
    }
  });

  return {
    clear,
    /** The state of the chosen tab's jobs, all of them shown. */
    all() {
      tabs.querySelector("input").checked = true;
      status = null;
      clear();
      changed({ status, q });
    },
    /** Counts by state, as the API tells them. */
    counts(jobs) {
      const total = Object.values(jobs).reduce((sum, number) => sum + number, 0);
      for (const [value, number] of numbers) {
        setText(number, count(value ? (jobs[value] ?? 0) : total));
      }
    },
  };
}
