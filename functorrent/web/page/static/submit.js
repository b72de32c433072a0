// New magnets: pasted or typed, a file chosen or dropped.

import { ApiError, submit } from "./api.js";
import { byId, setText } from "./dom.js";
import { outcome } from "./outcome.js";
import { bytes, plural } from "./text.js";

/** The API takes no more text at once. */
const LARGEST = 64 * 1024 * 1024;
const MAGNET = /magnet:\?/i;

/** `sent()` is called when the daemon has taken something. */
export function submission(sent) {
  const form = byId("add-form");
  const box = byId("magnets");
  const button = byId("add-button");
  const chooser = byId("file");
  const told = byId("add-outcome");
  let busy = false;

  /** Send text, or a file; returns the answer, or null where it was refused whole. */
  async function send(what, from) {
    busy = true;
    button.disabled = true;
    form.setAttribute("aria-busy", "true");
    told.replaceChildren(from ? `Sending ${from}…` : "Sending…");
    let answer = null;
    try {
      answer = await submit(what);
    } catch (error) {
      answer = Array.isArray(error.body?.invalid)
        ? { ...error.body, accepted: [] }
        : { accepted: [], invalid: [], error };
    }
    told.replaceChildren(...outcome(answer, from));
    form.removeAttribute("aria-busy");
    button.disabled = false;
    busy = false;
    if (answer.accepted.length || answer.error?.body?.accepted_lines) {
      sent();
    }
    return answer;
  }

  async function sendText() {
    const text = box.value;
    if (busy) {
      return;
    }
    if (!text.trim()) {
      setText(told, "Paste a magnet link or an infohash first, one a line.");
      box.focus();
      return;
    }
    const answer = await send(text, "");
    if (!answer.error && !answer.invalid_omitted) {
      // What was not valid stays, to be mended.
      const lines = text.split(/\r\n|\r|\n/);
      box.value = answer.invalid.map(({ line }) => lines[line - 1] ?? "").join("\n");
      grow();
    }
  }

  async function sendFiles(files) {
    for (const file of files) {
      if (busy) {
        return;
      }
      const name = `“${file.name.slice(0, 80)}”`;
      if (/\.torrent$/i.test(file.name)) {
        setText(told, `${name} is a .torrent file: what goes in here are magnets, one a line.`);
      } else if (file.size > LARGEST) {
        const error = new ApiError(413, `It has ${bytes(file.size)}; at most ${bytes(LARGEST)} are taken at once.`);
        told.replaceChildren(...outcome({ accepted: [], invalid: [], error }, name));
      } else {
        await send(file, `${name} (${bytes(file.size)})`);
      }
    }
  }

  function grow() {
    const lines = box.value.split("\n", 13).length;
    box.rows = Math.min(12, Math.max(3, lines));
    const magnets = box.value.match(/^\s*[^\s#]/gm)?.length ?? 0;
    setText(button, magnets > 1 ? `Add ${plural(magnets, "line")}` : "Add");
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    sendText();
  });
  box.addEventListener("input", grow);
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      sendText();
    }
  });
  byId("choose").addEventListener("click", () => chooser.click());
  chooser.addEventListener("change", async () => {
    await sendFiles([...chooser.files]);
    chooser.value = "";
  });
  take(sendFiles, (text) => {
    box.value = box.value.trim() ? `${box.value.trimEnd()}\n${text}` : text;
    grow();
    box.focus();
    box.scrollIntoView({ block: "nearest" });
  });
  grow();
}

/** Files and text dropped anywhere on the page; magnets pasted where there is no field. */
function take(files, text) {
  const veil = byId("drop");
  let depth = 0;
  const show = (shown) => {
    depth = shown ? depth : 0;
    veil.hidden = !shown;
  };
  const ours = (event) => {
    const types = event.dataTransfer?.types ?? [];
    return types.includes("Files") || (types.includes("text/plain") && !event.target.closest?.("textarea, input"));
  };
  addEventListener("dragenter", (event) => {
    if (ours(event)) {
      event.preventDefault();
      depth += 1;
      show(true);
    }
  });
  addEventListener("dragleave", () => {
    depth -= 1;
    if (depth <= 0) {
      show(false);
    }
  });
  addEventListener("dragover", (event) => ours(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    show(false);
    if (!ours(event)) {
      return;
    }
    event.preventDefault();
    if (event.dataTransfer.files.length) {
      files([...event.dataTransfer.files]);
    } else {
      text(event.dataTransfer.getData("text/plain"));
    }
  });
  addEventListener("paste", (event) => {
    const pasted = event.clipboardData?.getData("text/plain") ?? "";
    if (!event.target.closest?.("textarea, input, dialog") && MAGNET.test(pasted)) {
      event.preventDefault();
      text(pasted.trim());
    }
  });
}
