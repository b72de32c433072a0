// What became of a submission: how many were taken, and which lines were not, with the reason.

import { h } from "./dom.js";
import { clean, count, plural, sentence } from "./text.js";
import { STATES } from "./words.js";

/** No more invalid lines than this are shown; the rest are counted. */
const SHOWN = 50;

/** The nodes that tell it. `answer`: the API's, or what it refused with `error`. */
export function outcome({ accepted, invalid, invalid_omitted: omitted = 0, error }, from) {
  const nodes = [];
  if (error) {
    const taken = error.body?.accepted_lines;
    const part = taken ? ` The first ${plural(taken, "line")} had been taken before.` : "";
    const wait = error.status === 429 && error.retryAfter ? ` Try again in ${clean(error.retryAfter, 20)} s.` : "";
    nodes.push(h("p", { class: "problem" }, `${from ? `${clean(from)}: ` : ""}${sentence(error.message)}${part}${wait}`));
  }
  if (accepted.length) {
    nodes.push(h("p", { class: "good" }, `${plural(accepted.length, "magnet")} accepted${byState(accepted)}.`));
  }
  if (invalid.length) {
    const what = accepted.length ? "not taken" : "not taken: nothing was added";
    nodes.push(h("p", { class: "problem" }, `${plural(invalid.length + omitted, "line")} ${what}.`), lines(invalid, omitted));
  } else if (!accepted.length && !error) {
    nodes.push(h("p", { class: "problem" }, "There was no magnet in it."));
  }
  return nodes;
}

/** ": 3 queued, 1 fetched already", where that says more than "queued". */
function byState(accepted) {
  const sums = new Map();
  for (const { status } of accepted) {
    sums.set(status, (sums.get(status) ?? 0) + 1);
  }
  if (sums.size === 1 && sums.has("queued")) {
    return "";
  }
  const words = [...sums].map(([status, number]) => {
    const word = (STATES[status]?.word ?? clean(status, 20)).toLowerCase();
    return `${count(number)} ${status === "fetched" ? "fetched already" : word}`;
  });
  return `: ${words.join(", ")}`;
}

function lines(invalid, omitted) {
  const shown = invalid.slice(0, SHOWN).map(({ line, input, error }) =>
    h(
      "li",
      {},
      h("span", { class: "quiet" }, line == null ? "" : `Line ${count(line)} `),
      h("code", {}, h("bdi", { title: clean(input ?? "", 500) }, clean(input ?? "", 120))),
      h("span", { class: "why" }, h("bdi", {}, sentence(error ?? "Not a magnet"))),
    ),
  );
  const more = omitted + invalid.length - shown.length;
  if (more > 0) {
    shown.push(h("li", { class: "quiet" }, `and ${count(more)} more`));
  }
  return h("ul", { class: "invalid" }, shown);
}
