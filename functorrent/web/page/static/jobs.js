// The jobs that the page knows, newest first: a window on what may be a hundred thousand. No DOM.

import { keyOf } from "./api.js";

/** More newcomers than this, not shown yet: they are counted, and loaded when they are wanted. */
const FRESH = 200;

/** What the list keeps of a job: the magnet and what else is long stay out of memory. */
function slim(told) {
  return {
    key: keyOf(told),
    name: told.name == null ? null : told.name.slice(0, 400),
    search: told.name == null ? "" : told.name.slice(0, 1000).toLowerCase(),
    v2: told.infohash_v2,
    status: told.status,
    size: told.size,
    files: told.files,
    attempts: told.attempts,
    added: told.added,
    updated: told.updated,
    nextAttempt: told.next_attempt,
    gone: false,
  };
}

export class Jobs {
  constructor() {
    this.filter = { status: null, q: "" };
    this.clear();
  }

  clear() {
    this.list = [];
    this.known = new Map();
    this.fresh = new Map();
    /** More newcomers than `fresh` holds. */
    this.flood = false;
    /** Where the next page begins; null where there is none. */
    this.next = null;
    this.loaded = false;
  }

  /** The first page of a listing: all that was known before is forgotten. */
  replace(page) {
    this.clear();
    this.loaded = true;
    this.append(page);
  }

  append(page) {
    for (const told of page.magnets) {
      const job = slim(told);
      if (!this.known.has(job.key)) {
        this.known.set(job.key, job);
        this.list.push(job);
      }
    }
    this.next = page.next;
  }

  matches(job) {
    const { status, q } = this.filter;
    return (
      (!status || job.status === status) &&
      (!q || job.search.includes(q) || job.key.startsWith(q) || Boolean(job.v2?.startsWith(q)))
    );
  }

  /**
   * Take a change from the stream. Jobs that are in the list change in place: one that is not of this
   * listing any more is marked `gone`. One that belongs where we have looked goes to `fresh`.
   */
  change(told) {
    const job = slim(told);
    const old = this.known.get(job.key);
    if (old) {
      if (old.updated <= job.updated) {
        Object.assign(old, job, { gone: !this.matches(job) });
      }
    } else if (!this.matches(job)) {
      this.fresh.delete(job.key);
    } else if (this.next === null || job.added > (this.list.at(-1)?.added ?? "")) {
      this.fresh.delete(job.key);
      this.fresh.set(job.key, job);
      if (this.fresh.size > FRESH) {
        this.fresh.clear();
        this.flood = true;
      }
    }
  }

  /** Bring the list up to date: newcomers in, those of other listings out. False: load it again. */
  settle() {
    if (this.flood) {
      return false;
    }
    if (this.list.some((job) => job.gone)) {
      this.list = this.list.filter((job) => !job.gone || !this.known.delete(job.key));
    }
    for (const job of this.fresh.values()) {
      this.list.splice(this.place(job), 0, job);
      this.known.set(job.key, job);
    }
    this.fresh.clear();
    return true;
  }

  /** Before the first that is not newer. */
  place(job) {
    let low = 0;
    let high = this.list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.list[middle].added > job.added) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }
}
