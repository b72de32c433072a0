// What can be done with a job: its buttons.

import { cancel, keyOf, retry, torrentUrl } from "./api.js";
import { copy } from "./clipboard.js";
import { h } from "./dom.js";
import { GOES_ON } from "./words.js";

/** The row of buttons that this job's state allows. `detail`: where they stand. */
export function actions(job, detail) {
  const key = keyOf(job);
  const box = h("div", { class: "actions" });
  const button = (does, words, action, kind = "") =>
    box.append(h("button", { type: "button", class: kind, "data-does": does, onclick: action }, words));

  if (job.status === "fetched") {
    box.append(
      h("a", { class: "button primary", href: torrentUrl(key), download: `${key}.torrent`, "data-does": "download" },
        "Download .torrent"),
    );
  }
  if (["waiting", "gave_up", "cancelled"].includes(job.status)) {
    const words = job.status === "waiting" ? "Try now" : "Try again";
    button("retry", words, (event) => order(event.target, detail, () => retry(key), "Put into the queue."), "primary");
  }
  button("copy", "Copy magnet", async () => {
    const done = await copy(job.magnet);
    detail.on.say(done ? "Magnet copied." : "The browser does not let this page copy.");
  });
  if (GOES_ON.has(job.status)) {
    button("cancel", "Cancel", (event) => stop(event.target, key, detail), "danger");
  }
  return box;
}

async function order(button, detail, ask, words, undo) {
  button.disabled = true;
  try {
    await ask();
    detail.on.say(words, undo);
    await detail.ask();
  } catch (error) {
    detail.on.say(error.message);
  }
  button.disabled = false;
}

/** No question first: it can be taken back. */
function stop(button, key, detail) {
  return order(button, detail, () => cancel(key), "Cancelled.", async () => {
    try {
      await retry(key);
      detail.on.say("Back in the queue.");
    } catch (error) {
      detail.on.say(error.message);
    }
    detail.ask();
  });
}
