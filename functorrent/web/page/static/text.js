// Strangers' strings for people to read: what could trick a reader made visible, and cut.

// Controls, formats (direction, tags, zero width), lone surrogates, line ends, and letters that look
// like nothing. The server's own reports follow the same rule (functorrent/text.py).
const TRICKY = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\u034f\u115f\u1160\u2800\u3164\uffa0]/gu;
// Joiners are parts of honest Persian, Indic and emoji text.
const JOINERS = "\u200c\u200d";

/** `text` in at most `limit` characters; a line's end becomes \x0a, a turn of direction \u202e. */
export function clean(text, limit = 300) {
  let shown = String(text);
  if (shown.length > limit) {
    shown = shown.slice(0, limit).replace(/[\ud800-\udbff]$/, "") + "…";
  }
  return shown.replace(TRICKY, visible);
}

function visible(character) {
  if (JOINERS.includes(character)) {
    return character;
  }
  const hex = character.codePointAt(0).toString(16);
  if (hex.length <= 2) {
    return `\\x${hex.padStart(2, "0")}`;
  }
  return hex.length <= 4 ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
}

/** A sentence: a capital at its beginning, a full stop at its end. */
export function sentence(text) {
  const shown = clean(text, 2000);
  const ended = /[.!?…]$/.test(shown) ? shown : `${shown}.`;
  return ended.charAt(0).toUpperCase() + ended.slice(1);
}

/** "1 file", "1,204 files". */
export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

const NUMBERS = new Intl.NumberFormat("en");

/** A whole number with separators. */
export const count = (number) => NUMBERS.format(number);

/** Bytes as a person says them: "640 B", "1.4 GiB". */
export function bytes(number) {
  if (number < 1024) {
    return `${count(number)} B`;
  }
  let unit = -1;
  let value = number;
  do {
    value /= 1024;
    unit += 1;
  } while (value >= 999.5 && unit < 5);
  return `${value < 9.95 ? value.toFixed(1) : count(Math.round(value))} ${["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][unit]}B`;
}
