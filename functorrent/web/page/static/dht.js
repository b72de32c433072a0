// The DHT, as the totals tell of it.

import { byId, setText } from "./dom.js";
import { plural } from "./text.js";

let nodes = null;

/** `told`: the key `dht` of the totals. */
export function showDht(told) {
  nodes = told?.nodes ?? null;
  const line = byId("dht");
  line.hidden = nodes === null;
  setText(line, nodes === null ? "" : ` · DHT: ${plural(nodes, "node")}`);
}

/** How many nodes are known; null without a DHT. */
export const dhtNodes = () => nodes;
