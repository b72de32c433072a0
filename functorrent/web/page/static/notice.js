// What the page has to say: the state of the connection, and short messages that may be taken back.

import { byId, h, setText } from "./dom.js";

/** A message stays this long (milliseconds); one with a way back longer, and while it is pointed at. */
const SHORT = 4_000;
const LONG = 12_000;

const LINKS = {
  live: ["Live", false],
  lost: ["No connection", true],
  refused: ["Locked", false],
  connecting: ["Connecting…", false],
};

/** Show how the stream of events fares: "live", "lost", "refused" or "connecting". */
export function showLink(state) {
  const [word, lost] = LINKS[state];
  const chip = byId("link");
  chip.dataset.link = state;
  setText(chip, word);
  byId("lost").hidden = !lost;
}

let timer = 0;

/** Say something; `undo` (a function) gives it a button. */
export function say(text, undo = null) {
  const toast = byId("toast");
  clearTimeout(timer);
  const hide = () => {
    // Who is at the button still wants it.
    if (toast.matches(":hover") || toast.contains(document.activeElement)) {
      timer = setTimeout(hide, SHORT);
    } else {
      toast.replaceChildren();
    }
  };
  const back = () => {
    toast.replaceChildren();
    undo();
  };
  toast.replaceChildren(
    h("span", {}, text),
    undo ? h("button", { type: "button", onclick: back }, "Undo") : "",
  );
  timer = setTimeout(hide, undo ? LONG : SHORT);
}
