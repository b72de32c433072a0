// The stream of events: opened, kept, opened again. The browser resumes by Last-Event-ID on its own
// while it can; where it has given up (the daemon was away, or refused) we begin anew, and whoever
// listens is told that something may have been missed.

import { eventsUrl, session } from "./api.js";

/** A disconnection shorter than this (milliseconds) is nobody's concern. */
const CALM = 2_000;
const FIRST_WAIT = 1_000;
const LONGEST_WAIT = 30_000;
/** A tab that nobody looks at gives its connection back: browsers have six for all tabs of a site. */
const HIDDEN = 60_000;

/**
 * Listen. `on.job(job)`, `on.stats(stats)`; `on.missed()`: load everything again;
 * `on.link(state)` with "live", "lost" or "refused".
 * Returns {start, stop}.
 */
export function stream(on) {
  let source = null;
  let wait = FIRST_WAIT;
  let again = 0;
  let quiet = 0;
  let sleep = 0;
  let wanted = false;

  function open() {
    clearTimeout(again);
    close();
    source = new EventSource(eventsUrl);
    source.addEventListener("open", () => {
      clearTimeout(quiet);
      quiet = 0;
      wait = FIRST_WAIT;
      on.link("live");
    });
    source.addEventListener("error", broken);
    source.addEventListener("job", (event) => read(event, on.job));
    source.addEventListener("stats", (event) => read(event, on.stats));
    source.addEventListener("reset", () => on.missed());
    // A stream of our own making has no Last-Event-ID.
    source.addEventListener("open", () => on.missed(), { once: true });
  }

  function close() {
    source?.close();
    source = null;
  }

  function broken() {
    quiet ||= setTimeout(() => on.link("lost"), CALM);
    if (source?.readyState === EventSource.CLOSED) {
      close();
      again = setTimeout(ask, wait);
      wait = Math.min(LONGEST_WAIT, wait * 2);
    }
  }

  // The browser does not say why it was refused.
  async function ask() {
    const told = await session().catch(() => null);
    if (!wanted) {
      return;
    }
    if (told && told.required && !told.valid) {
      clearTimeout(quiet);
      quiet = 0;
      on.link("refused");
    } else {
      open();
    }
  }

  function start() {
    wanted = true;
    wait = FIRST_WAIT;
    if (!document.hidden) {
      open();
    }
  }

  function stop() {
    wanted = false;
    clearTimeout(again);
    clearTimeout(quiet);
    quiet = 0;
    close();
  }

  document.addEventListener("visibilitychange", () => {
    clearTimeout(sleep);
    if (document.hidden) {
      sleep = setTimeout(close, HIDDEN);
    } else if (wanted && source === null) {
      open();
    }
  });
  // Back on the network: no need to sit the wait out.
  addEventListener("online", () => wanted && source?.readyState !== EventSource.OPEN && open());

  return { start, stop };
}

function read(event, action) {
  let told;
  try {
    told = JSON.parse(event.data);
  } catch {
    return;
  }
  action(told);
}
