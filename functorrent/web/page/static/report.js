// What was tried, in plain words, and as a table for who wants to know more.

import { dhtNodes } from "./dht.js";
import { h } from "./dom.js";
import { clean, count, plural, sentence } from "./text.js";
import { PEERS, SOURCES, TRACKERS } from "./words.js";

const WHY = { waiting: "Why not yet", queued: "The last try", fetching: "The last try" };

/** The section for a job's report; for one that was not tried yet, where it will be looked for. */
export function report(job) {
  const told = job.report;
  if (!told) {
    return untried(job.magnet);
  }
  const failed = job.status !== "fetched";
  return h(
    "section",
    { class: "report" },
    told.reason && failed
      ? h("div", { class: "reason" }, h("h3", {}, WHY[job.status] ?? "What went wrong"), h("p", {}, h("bdi", {}, sentence(told.reason))))
      : null,
    trackers(told.trackers ?? []),
    sources((told.sources ?? []).map(source)),
    peers(told.peers ?? {}),
  );
}

function trackers(list) {
  if (list.length === 0) {
    return [h("h3", {}, "Trackers"), h("p", { class: "quiet" }, "None were asked.")];
  }
  return [
    h("h3", {}, "Trackers ", h("span", { class: "number" }, count(list.length))),
    h("ul", { class: "trackers" }, list.map(tracker)),
  ];
}

function tracker(told) {
  const good = told.status === "ok";
  const numbers = [];
  if (good) {
    numbers.push(plural(told.peers, "peer"));
    if (told.seeders != null) {
      numbers.push(plural(told.seeders, "seeder"));
    }
    if (told.leechers != null) {
      numbers.push(plural(told.leechers, "leecher"));
    }
  } else if (told.error) {
    numbers.push(clean(told.error, 300));
  }
  const url = clean(told.url, 300);
  return h(
    "li",
    {},
    h("bdi", { class: "url", title: url }, url),
    h("span", { class: good ? "good" : "bad" }, TRACKERS[told.status] ?? clean(told.status, 30)),
    numbers.length ? h("span", { class: "quiet" }, h("bdi", {}, numbers.join(", "))) : null,
  );
}

/** Where else it is looked for; nothing where there is nothing else. */
function sources(rows) {
  return rows.length === 0
    ? null
    : [h("h3", {}, "Other sources"), h("ul", { class: "trackers" }, rows)];
}

function source(told) {
  return sourceRow(told.source, plural(told.peers, "peer"), told.peers > 0, told.detail && sentence(clean(told.detail, 300)));
}

function sourceRow(name, number, good, detail) {
  return h(
    "li",
    { "data-source": name },
    h("bdi", {}, SOURCES[name] ?? clean(name, 60)),
    h("span", { class: good && "good" }, number),
    detail ? h("span", { class: "quiet" }, h("bdi", {}, detail)) : null,
  );
}

function peers(counts) {
  const found = counts.found ?? 0;
  const rows = Object.entries(PEERS)
    .filter(([outcome]) => counts[outcome] > 0)
    .sort(([one], [other]) => counts[other] - counts[one]);
  if (rows.length === 0) {
    return [h("h3", {}, "Peers"), h("p", { class: "quiet" }, "Nobody was found who could be asked.")];
  }
  return [
    h("h3", {}, "Peers ", h("span", { class: "number" }, count(found))),
    h(
      "table",
      { class: "peers" },
      h("caption", { class: "unseen" }, "What became of the peers that were found"),
      h("thead", { class: "unseen" },
        h("tr", {}, h("th", { scope: "col" }, "How many"), h("th", { scope: "col" }, "What they did"))),
      h("tbody", {}, rows.map(([outcome, [one, many]]) => peer(outcome, counts[outcome], found, one, many))),
    ),
  ];
}

function peer(outcome, number, found, one, many) {
  const bar = h("span", { class: "share", "aria-hidden": "true" });
  bar.style.setProperty("--share", Math.min(1, number / Math.max(1, found)));
  return h(
    "tr",
    { "data-outcome": outcome },
    h("td", { class: "number" }, count(number)),
    h("td", {}, number === 1 ? one : many, bar),
  );
}

/** The trackers that a magnet names, without what may be a passkey: scheme and host are enough. */
function untried(magnet) {
  const hosts = new Set();
  for (const [name, value] of new URLSearchParams(magnet.slice(magnet.indexOf("?") + 1))) {
    const found = /^tr(\.\d+)?$/.test(name) ? /^([a-z]+):\/\/(?:[^@/?#]*@)?([^/?#]+)/i.exec(value) : null;
    if (found) {
      hosts.add(`${found[1]}://${found[2]}`);
    }
    if (hosts.size >= 100) {
      break;
    }
  }
  return h(
    "section",
    { class: "report" },
    h("h3", {}, "Trackers ", h("span", { class: "number" }, count(hosts.size))),
    hosts.size
      ? h("ul", { class: "trackers" }, [...hosts].map((host) => h("li", {}, h("bdi", { class: "url" }, clean(host, 300)))))
      : h("p", { class: "quiet" }, "The magnet names none."),
    dhtNodes() === null ? null : sources([sourceRow("dht", `${plural(dhtNodes(), "node")} known`, dhtNodes() > 0)]),
  );
}
