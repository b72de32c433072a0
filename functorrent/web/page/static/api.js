// The HTTP API, one function for each thing the page asks of it.

const BASE = "/api/v1";
const PAGE = 100;
/** How long an answer may take (milliseconds); a big file is given longer. */
const PATIENCE = 30_000;
const UPLOAD_PATIENCE = 15 * 60_000;

/** What went wrong, in a sentence. `status` is 0 where there was no answer; `body` is the problem. */
export class ApiError extends Error {
  constructor(status, sentence, body = {}, retryAfter = null) {
    super(sentence);
    this.status = status;
    this.body = body;
    this.retryAfter = retryAfter;
  }
}

let refused = () => {};

/** `action` is called whenever the server wants a token that it was not given. */
export function onRefused(action) {
  refused = action;
}

async function call(method, path, { body, type, patience = PATIENCE } = {}) {
  let answer;
  try {
    answer = await fetch(BASE + path, {
      method,
      body,
      headers: { Accept: "application/json", ...(type ? { "Content-Type": type } : {}) },
      credentials: "same-origin",
      signal: AbortSignal.timeout(patience),
    });
  } catch (error) {
    const slow = error.name === "TimeoutError";
    throw new ApiError(0, slow ? "The daemon took too long to answer." : "The daemon cannot be reached.");
  }
  const found = await parsed(answer);
  if (answer.ok) {
    return found;
  }
  if (answer.status === 401 && path !== "/session") {
    refused();
  }
  const sentence = found?.detail || found?.title || `The daemon answered with ${answer.status}.`;
  throw new ApiError(answer.status, sentence, found ?? {}, answer.headers.get("Retry-After"));
}

/** The JSON of an answer; null where there is none (204, a proxy's page). */
async function parsed(answer) {
  try {
    const text = await answer.text();
    return text ? JSON.parse(text) : null;
  } catch {
    if (answer.ok) {
      throw new ApiError(0, "The daemon’s answer was cut off.");
    }
    return null;
  }
}

function query(values) {
  const asked = Object.entries(values).filter(([, value]) => value != null && value !== "");
  return asked.length ? `?${new URLSearchParams(asked)}` : "";
}

const job = (key) => `/magnets/${encodeURIComponent(key)}`;

export const session = () => call("GET", "/session");
export const logIn = (token) =>
  call("POST", "/session", { body: JSON.stringify({ token }), type: "application/json" });
export const logOut = () => call("DELETE", "/session");
export const stats = () => call("GET", "/stats");
export const getJobs = ({ status, q, cursor }) =>
  call("GET", `/magnets${query({ status, q, cursor, limit: PAGE })}`);
export const getJob = (key) => call("GET", job(key));
export const getFiles = (key, cursor) => call("GET", `${job(key)}/files${query({ limit: 500, cursor })}`);
export const retry = (key) => call("POST", `${job(key)}/retry`);
export const cancel = (key) => call("DELETE", job(key));
/** Text or a File, a magnet a line; a File is sent as it is read. */
export const submit = (text) =>
  call("POST", "/magnets", { body: text, type: "text/plain; charset=utf-8", patience: UPLOAD_PATIENCE });

export const eventsUrl = `${BASE}/events`;
export const torrentUrl = (key) => `${BASE}${job(key)}/torrent`;
export const apiUrl = () => `${location.origin}${BASE}/magnets`;

/** What a job is addressed by. */
export const keyOf = (told) => told.infohash ?? told.infohash_v2;
