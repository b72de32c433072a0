// What the words of the API are called on the page, and the shape that goes with each state.

/** Every state of a job: its word, and the paths of its icon (16 by 16). */
export const STATES = {
  queued: { word: "Queued", icon: ["M3 4.5h10M3 8h10M3 11.5h6"] },
  fetching: { word: "Fetching", icon: ["M8 2.5v8M4.5 7.5 8 11l3.5-3.5M3 13.5h10"] },
  waiting: { word: "Waiting", icon: ["M8 2.25a5.75 5.75 0 1 1 0 11.5a5.75 5.75 0 1 1 0-11.5M8 5v3.2l2.2 1.6"] },
  fetched: { word: "Fetched", icon: ["M3 8.5 6.5 12 13 4.5"] },
  gave_up: { word: "Gave up", icon: ["M4 4l8 8M12 4l-8 8"] },
  cancelled: { word: "Cancelled", icon: ["M8 2.25a5.75 5.75 0 1 1 0 11.5a5.75 5.75 0 1 1 0-11.5M4.2 11.8l7.6-7.6"] },
};

/** Those in which the daemon still means to do something. */
export const GOES_ON = new Set(["queued", "fetching", "waiting"]);

/** What became of peers: of one, of several. In the order they are told. */
export const PEERS = {
  fetched: ["sent all of it", "sent all of it"],
  refused: ["refused the connection", "refused the connection"],
  timed_out: ["did not answer", "did not answer"],
  unreachable: ["could not be reached", "could not be reached"],
  not_allowed: ["is at an address that is not allowed", "are at addresses that are not allowed"],
  closed: ["hung up", "hung up"],
  not_bittorrent: ["does not speak BitTorrent", "do not speak BitTorrent"],
  wrong_infohash: ["shares another torrent", "share another torrent"],
  self: ["was this program itself", "were this program itself"],
  no_extensions: ["cannot pass on a torrent’s description", "cannot pass on a torrent’s description"],
  no_metadata: ["does not have the description itself", "do not have the description themselves"],
  rejected: ["refused to send it", "refused to send it"],
  bad_data: ["sent something that is wrong", "sent something that is wrong"],
  stalled: ["stopped sending half-way", "stopped sending half-way"],
  cancelled: ["was not needed any more", "were not needed any more"],
};

/** Where peers come from, beside trackers. */
export const SOURCES = {
  dht: "DHT",
  lsd: "Local network",
  pex: "Peer exchange",
  "web sources": "The web",
};

/** What a tracker did. */
export const TRACKERS = {
  ok: "Answered",
  failed: "Failed",
  timed_out: "Did not answer",
  unsupported: "Cannot be used",
  not_allowed: "Not allowed",
  cancelled: "Not waited for",
};
