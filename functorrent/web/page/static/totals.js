// Totals: the tabs' counts, the chart, and, for those who cannot see them, a sentence now and then.

import { stats } from "./api.js";
import { drawChart } from "./chart.js";
import { showDht } from "./dht.js";
import { byId, setText } from "./dom.js";
import { count, plural } from "./text.js";
import { serverNow } from "./times.js";
import { STATES } from "./words.js";

/** The chart is drawn anew this often (milliseconds), or sooner when something ended. */
const SLOWLY = 30_000;
const SOON = 3_000;
/** A screen reader is told no more often than this. */
const SPOKEN = 20_000;

/** `counted(jobs)` gets the counts by state. Returns {load, take, ended}. */
export function totals(counted) {
  let timer = 0;
  let due = Infinity;
  let spokenAt = -Infinity;

  function take(told) {
    serverNow(told.now);
    counted(told.jobs);
    showDht(told.dht);
    if (told.minutes) {
      drawChart(told.minutes);
    }
    if (performance.now() - spokenAt > SPOKEN) {
      spokenAt = performance.now();
      setText(byId("spoken"), spoken(told.jobs));
    }
  }

  async function load() {
    try {
      take(await stats());
    } catch {
      // The notice about the connection, or the login, says enough.
    }
    due = Infinity;
    later(SLOWLY);
  }

  function later(wait) {
    const at = performance.now() + wait;
    if (at < due) {
      due = at;
      clearTimeout(timer);
      timer = setTimeout(() => (document.hidden ? later(SLOWLY, (due = Infinity)) : load()), wait);
    }
  }

  return { load, take, ended: () => later(SOON) };
}

function spoken(jobs) {
  const all = Object.values(jobs).reduce((sum, number) => sum + number, 0);
  const parts = Object.entries(STATES)
    .filter(([status]) => jobs[status] > 0)
    .map(([status, { word }]) => `${count(jobs[status])} ${word.toLowerCase()}`);
  return `${plural(all, "magnet")}${parts.length ? `: ${parts.join(", ")}` : ""}.`;
}
