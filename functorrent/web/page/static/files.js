// The file tree of a fetched job: asked for in pages, folders that open and close.

import { getFiles } from "./api.js";
import { h, setText } from "./dom.js";
import { bytes, clean, count } from "./text.js";

/** Folders in folders deeper than this are told in one line: a stranger chooses how deep they go. */
const DEEPEST = 24;
/** A folder is open at first where its torrent has no more files than this. */
const FEW = 40;

/** The section with the tree of the job with this key; it loads itself. */
export function fileTree(key) {
  const top = folder();
  const told = h("span", { class: "number" });
  const problem = h("p", { class: "problem", hidden: true });
  const more = h("button", { type: "button", hidden: true, "data-does": "files" });
  let next = null;
  let shown = 0;

  async function load() {
    more.disabled = true;
    try {
      const page = await getFiles(key, next);
      for (const file of page.files) {
        add(top, file, page.total <= FEW);
      }
      shown += page.files.length;
      next = page.next;
      sizes(top);
      problem.hidden = true;
      setText(told, shown < page.total ? `${count(shown)} of ${count(page.total)}` : count(page.total));
      setText(more, `Show more (${count(Math.max(0, page.total - shown))} left)`);
      more.hidden = next === null;
    } catch (error) {
      problem.hidden = false;
      more.hidden = false;
      setText(problem, error.message);
      setText(more, "Load again");
    }
    more.disabled = false;
  }

  more.addEventListener("click", load);
  load();
  return h("section", { class: "files" }, h("h3", {}, "Files ", told), top.list, problem, more);
}

function folder() {
  return { list: h("ul", { class: "tree" }), folders: new Map(), size: 0, files: 0, told: null };
}

function add(top, file, open) {
  let path = file.path.length ? file.path : [""];
  if (path.length > DEEPEST) {
    path = [...path.slice(0, DEEPEST - 1), path.slice(DEEPEST - 1).join("/")];
  }
  let here = top;
  for (const name of path.slice(0, -1)) {
    let inner = here.folders.get(name);
    if (!inner) {
      inner = folder();
      inner.told = h("span", { class: "size" });
      const label = h("bdi", { title: clean(name, 500) }, clean(name, 300));
      const summary = h("summary", {}, h("span", { class: "name" }, label), inner.told);
      here.folders.set(name, inner);
      here.list.append(h("li", {}, h("details", { open }, summary, inner.list)));
    }
    inner.size += file.size;
    inner.files += 1;
    here = inner;
  }
  const name = path.at(-1);
  const label = h("bdi", { title: clean(name, 500) }, clean(name, 300));
  const size = h("span", { class: "size" }, bytes(file.size));
  here.list.append(h("li", { class: "file" }, h("span", { class: "name" }, label), size));
}

function sizes(here) {
  for (const inner of here.folders.values()) {
    setText(inner.told, bytes(inner.size));
    sizes(inner);
  }
}
