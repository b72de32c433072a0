// Times as a person says them. "Now" is the server's: a browser's clock may be wrong.

let ahead = 0;

/** The server says what time it is there (ISO 8601). */
export function serverNow(iso) {
  const there = Date.parse(iso);
  if (!Number.isNaN(there)) {
    ahead = there - Date.now();
  }
}

const now = () => Date.now() + ahead;

const STEPS = [
  [60, "s"],
  [60, "min"],
  [24, "h"],
  [365, "d"],
  [Infinity, "y"],
];

/** Seconds in one unit: "40 s", "3 min", "2 h". */
export function span(seconds) {
  let value = Math.max(0, seconds);
  for (const [size, unit] of STEPS) {
    if (Math.round(value) < size) {
      return `${Math.round(value)} ${unit}`;
    }
    value /= size;
  }
  return "";
}

/** "just now", "3 min ago". */
export function ago(iso) {
  const seconds = (now() - Date.parse(iso)) / 1000;
  return seconds < 60 ? "just now" : `${span(seconds)} ago`;
}

/** "in 4 min"; "now" for what is due. */
export function until(iso) {
  const seconds = (Date.parse(iso) - now()) / 1000;
  return seconds < 1 ? "now" : `in ${span(seconds)}`;
}

/** The date and time in the reader's own way; only the time where it is today. */
export function absolute(iso) {
  const then = new Date(iso);
  const today = new Date(now()).toDateString() === then.toDateString();
  const time = { hour: "2-digit", minute: "2-digit" };
  return today
    ? then.toLocaleTimeString([], time)
    : then.toLocaleString([], { year: "numeric", month: "short", day: "numeric", ...time });
}
