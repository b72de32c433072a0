// The page: its parts made, joined and started.

import { apiUrl, onRefused, session } from "./api.js";
import { Detail } from "./detail.js";
import { byId, setText } from "./dom.js";
import { stream } from "./events.js";
import { filters } from "./filter.js";
import { List } from "./list.js";
import { login } from "./login.js";
import { say, showLink } from "./notice.js";
import { submission } from "./submit.js";
import { totals } from "./totals.js";
import { STATES } from "./words.js";

const KEY = /^#([0-9a-f]{64}|[0-9a-f]{40})$/i;
const ENDED = new Set(["fetched", "waiting", "gave_up"]);
/** Until the daemon answers at all, it is asked again this often (milliseconds). */
const AGAIN = 3_000;

const list = new List({ empty: showEmpty });
const filter = filters((chosen) => {
  list.show(chosen);
  // The listing begins at its beginning.
  if (list.above() > 0) {
    byId("list").scrollIntoView({ block: "start" });
  }
});
const figures = totals((jobs) => filter.counts(jobs));
const detail = new Detail({
  say,
  closed: (key) => {
    leaveNarrow();
    list.mark(null);
    if (!list.focusKey(key)) {
      byId("search").focus();
    }
  },
});
const events = stream({
  job(told) {
    list.change(told);
    detail.change(told);
    if (ENDED.has(told.status)) {
      figures.ended();
    }
  },
  stats: (told) => figures.take(told),
  missed() {
    list.load();
    detail.refresh();
    figures.load();
  },
  link(state) {
    showLink(state);
    if (state === "refused") {
      door.ask();
    }
  },
});
const door = login(() => events.start());

onRefused(() => {
  events.stop();
  showLink("refused");
  door.ask();
});
submission(() => figures.ended());

// -- which job is open: the address says it -------------------------------------------------------

const narrow = matchMedia("(max-width: 63.99rem)");

function followAddress() {
  const found = KEY.exec(location.hash);
  if (found) {
    const key = found[1].toLowerCase();
    detail.open(key);
    list.mark(key);
  } else if (detail.key !== null) {
    detail.hide();
    list.mark(null);
  }
  leaveNarrow();
}

/** Where the detail covers all, what is under it is out of reach. */
function leaveNarrow() {
  byId("page").inert = narrow.matches && detail.key !== null;
}

addEventListener("hashchange", followAddress);
narrow.addEventListener("change", leaveNarrow);

// -- keys, and what an empty list says ------------------------------------------------------------

addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input:not([type=radio]), textarea, dialog");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    byId("search").focus();
    byId("search").select();
  } else if (event.key === "Escape" && !typing && !event.defaultPrevented && detail.key !== null) {
    detail.close();
  }
});

function showEmpty({ status, q }, empty) {
  const first = empty && !status && !q;
  byId("empty").hidden = !first;
  byId("nothing").hidden = !empty || first;
  byId("columns").hidden = empty;
  if (empty && !first) {
    const where = status ? ` among those ${STATES[status].word.toLowerCase()}` : "";
    const none = { queued: "in the queue", fetching: "being fetched", waiting: "waiting for its next try" };
    const told = none[status] ?? { fetched: "fetched yet", gave_up: "given up", cancelled: "cancelled" }[status];
    setText(byId("nothing-words"), q ? `Nothing matches “${q.slice(0, 80)}”${where}.` : `No magnet is ${told}.`);
  }
}

byId("show-all").addEventListener("click", () => filter.all());
/** How a script would do it; `token`: whether the daemon wants one. */
function showExample(token) {
  const bearer = token ? "  -H \"Authorization: Bearer $(cat token)\" \\\n" : "";
  const type = "curl -H 'Content-Type: text/plain' \\\n";
  setText(byId("example"), `${type}${bearer}  --data-binary @magnets.txt \\\n  ${apiUrl()}`);
}

// -- begin ----------------------------------------------------------------------------------------

async function begin() {
  let told;
  try {
    told = await session();
  } catch {
    showLink("lost");
    setTimeout(begin, AGAIN);
    return;
  }
  showExample(told.required);
  if (told.required && told.valid) {
    door.allowLeaving();
  }
  if (told.required && !told.valid) {
    showLink("refused");
    door.ask();
  } else {
    events.start();
  }
  followAddress();
}

begin();
