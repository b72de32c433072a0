// Copying, also where the page comes over plain HTTP from another machine and has no clipboard.

import { h } from "./dom.js";

/** Whether it could be done. */
export async function copy(text) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Not allowed: the old way may be.
    }
  }
  const had = document.activeElement;
  const box = h("textarea", { class: "unseen", readonly: true, "aria-hidden": "true" });
  box.value = text;
  document.body.append(box);
  box.select();
  const done = document.execCommand("copy");
  box.remove();
  had?.focus({ preventScroll: true });
  return done;
}
