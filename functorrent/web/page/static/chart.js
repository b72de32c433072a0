// The last hour, minute by minute: a bar for each, stacked by outcome.

import { byId, setText, svg } from "./dom.js";
import { count, plural } from "./text.js";

const WIDTH = 600;
const HEIGHT = 96;
const KINDS = [
  ["fetched", "fetched"],
  ["failed", "failed"],
  ["gave_up", "given up"],
];

/** Draw `minutes` (60 of {at, fetched, failed, gave_up}, the running one last). */
export function drawChart(minutes) {
  const sums = Object.fromEntries(
    KINDS.map(([kind]) => [kind, minutes.reduce((sum, minute) => sum + (minute[kind] ?? 0), 0)]),
  );
  const most = Math.max(0, ...minutes.map(total));
  const scale = nice(most);
  const step = WIDTH / Math.max(1, minutes.length);
  const bars = minutes.map((minute, index) => bar(minute, index * step, step, scale));
  const lines = [0, 0.5, 1].map((share) =>
    svg("line", { class: "grid", x1: 0, x2: WIDTH, y1: HEIGHT * (1 - share), y2: HEIGHT * (1 - share) }),
  );
  const chart = byId("chart");
  chart.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  chart.setAttribute("aria-label", summary(sums, minutes, most));
  chart.replaceChildren(...lines, ...bars);
  setText(byId("chart-top"), most ? `${count(scale)} a minute` : "");
  byId("chart-none").hidden = most > 0;
  for (const [kind] of KINDS) {
    setText(byId(`hour-${kind}`), count(sums[kind]));
  }
}

const total = (minute) => KINDS.reduce((sum, [kind]) => sum + (minute[kind] ?? 0), 0);

/** The next round number: 1, 2, 5, 10, 20, 50, ... */
function nice(most) {
  let power = 1;
  while (power * 10 < most) {
    power *= 10;
  }
  return [1, 2, 5, 10].map((factor) => factor * power).find((value) => value >= most) ?? 1;
}

function bar(minute, x, step, scale) {
  const parts = [];
  let y = HEIGHT;
  for (const [kind] of KINDS) {
    const number = minute[kind] ?? 0;
    if (number > 0) {
      // One of a thousand is still to be seen.
      const height = Math.max(2, (number / scale) * HEIGHT);
      y -= height;
      parts.push(svg("rect", { class: kind, x: x + step * 0.12, y, width: step * 0.76, height }));
    }
  }
  const at = new Date(minute.at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const words = KINDS.filter(([kind]) => minute[kind]).map(([kind, word]) => `${count(minute[kind])} ${word}`);
  return svg(
    "g",
    {},
    svg("title", {}, `${at}: ${words.join(", ") || "nothing"}`),
    svg("rect", { class: "touch", x, y: 0, width: step, height: HEIGHT }),
    ...parts,
  );
}

function summary(sums, minutes, most) {
  if (most === 0) {
    return "In the last hour no fetch has ended.";
  }
  const told = `In the last hour ${plural(sums.fetched, "magnet was", "magnets were")} fetched, ${plural(sums.failed, "try", "tries")} failed, and ${plural(sums.gave_up, "magnet was", "magnets were")} given up.`;
  const busiest = minutes.findLast((minute) => total(minute) === most);
  const at = new Date(busiest.at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return `${told} The busiest minute was ${at}, with ${count(most)}.`;
}
