"""Every cap and time limit: value, unit, reason, and what others use.

A number that a stranger can influence is compared with one of these before it allocates or waits.
Figures of others are from FIELD.md (their sources, read November 2026).
"""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True)
class Limits:
    """The caps and deadlines of one fetcher; sizes in bytes, times in seconds."""

    # -- metadata (BEP 9) ------------------------------------------------------------------
    #: Largest info dictionary taken. Honest ones of 24 MB exist (libtorrent#2014);
    #: rqbit 32 MiB, rain and libtorrent 30, anacrolix 16, demagnetize none.
    max_metadata: int = 32 * MIB
    #: All blocks being assembled in the process; the least complete gives way.
    max_assembling: int = 128 * MIB
    #: Requests outstanding to one peer at first. A libtorrent seeder queues what goes over
    #: about ten until its one-second tick.
    window_start: int = 8
    #: ... and at most (also never above the peer's reqq). webtorrent and anacrolix ask for all.
    window_max: int = 64
    #: An answer slower than this is no reason to widen the window.
    quick_answer: float = 0.25
    #: Below this round trip a wider window gains nothing and risks the seeder's queue.
    window_gain: float = 0.02
    #: Rejects of one peer after which it is of no use.
    max_rejects: int = 3
    #: Bytes of one info dictionary parsed in the reactor at once; larger ones go in slices.
    parse_at_once: int = 256 * KIB
    #: Tokens of one info dictionary (libtorrent metadata_token_limit: 2.5 million).
    info_tokens: int = 3_000_000

    # -- peer wire (BEP 3, 10) -------------------------------------------------------------
    #: An extended message that is buffered; ut_metadata needs 16 KiB and a header,
    #: long extended handshakes of odd clients a few KiB. demagnetize 64 KiB.
    max_extended: int = 64 * KIB
    #: Any other message is skipped without being buffered up to this size: a bitfield of
    #: 2 MiB stands for 16 million pieces. Above it the peer lies.
    max_skipped: int = 2 * MIB
    #: Depth of nested bencode in control messages (libtorrent 100; ours need 3).
    bencode_depth: int = 32
    #: Values in one control message (a tracker's dictionary peers: 4 values a peer).
    bencode_items: int = 20_000
    #: Extensions one peer may offer in ``m``.
    max_extensions: int = 128
    #: Bytes waiting to be sent to one peer before it is dropped as one that does not read.
    max_unsent: int = 256 * KIB
    #: Metadata blocks served to one peer a second, after a burst of `serve_burst`: 20 MB in 12 s.
    serve_rate: float = 100.0
    serve_burst: int = 128
    #: Bytes of an extended handshake's ``v`` kept.
    max_client_name: int = 128

    # -- serving metadata (BEP 9) ----------------------------------------------------------
    #: Blocks served to all peers together a second, and at once: 16 MiB/s is a good part of most
    #: uplinks, and some 5 % of one core.
    serve_rate_all: float = 1000.0
    serve_burst_all: int = 512
    #: A peer that reads slowly has this long to take the 80 KiB or so that are buffered for it: 4 KB/s.
    serve_patience: float = 20.0
    #: Bytes that a peer which only fetches from us may send, beside its requests: a bitfield of two
    #: million pieces. Without it keep-alives at line speed would cost a core.
    max_served_input: int = 256 * KIB
    #: SO_SNDBUF of its socket: what the kernel keeps for one that does not read. At 100 ms of round
    #: trip it is no narrower than `serve_rate`.
    serve_send_buffer: int = 128 * KIB
    #: Info dictionaries in memory because somebody is served them, each counted once (raised to twice
    #: `max_metadata`).
    max_serving: int = 64 * MIB
    #: When they are too many, those that were served for so long give way, the oldest first.
    serve_turn: float = 30.0
    #: Info dictionaries kept in memory in case they are asked for again (the daemon's library).
    library_cache: int = 32 * MIB
    #: Look-ups in the store at once (each may bring 32 MiB), and those that wait for one of them: no
    #: fewer than `max_pending_inbound`, for who fetches much calls for as much at once.
    look_ups_at_once: int = 2
    look_ups_waiting: int = 500
    #: From a caller's handshake to our answer: libtorrent and rain wait 10 s for it.
    look_up_timeout: float = 8.0
    #: Look-ups that find nothing, from one address and in all: so many at once, then so many a second.
    #: Crawlers ask for what nobody has.
    misses_burst: int = 20
    misses_rate: float = 0.1
    misses_burst_all: int = 200
    misses_rate_all: float = 50.0
    #: What was not there is not looked up again for so long (unless it has come meanwhile); and how
    #: many of them are remembered, as many addresses, too.
    missing_ttl: float = 30.0
    remembered_misses: int = 10_000
    #: A waiting job that a caller has started is not started by another for so long: who lies must
    #: not use up its tries.
    called_again: float = 60.0
    #: Fetches that callers may start: so many at once, then so many a second. They wait for no slot.
    calls_burst: int = 50
    calls_rate: float = 2.0

    # -- dialing ---------------------------------------------------------------------------
    #: Sockets to peers in the whole process (also bounded by RLIMIT_NOFILE).
    max_connections: int = 2000
    #: Dials and connections of one magnet at once (demagnetize 30, rain 80, rqbit 128).
    max_peers_per_magnet: int = 40
    #: Peers remembered for one magnet; a hostile tracker can name any number.
    max_candidates: int = 1000
    #: ... of which peers named them (PEX), rather than a tracker, the DHT or the user.
    max_hearsay: int = 200
    #: Unanswered dials to one address at once, until one of them is answered.
    max_unanswered_per_host: int = 16
    #: Connect: libtorrent 15 s, anacrolix 20 s shrinking to 3, rain 5.
    connect_timeout: float = 5.0
    #: ... when many candidates wait for a socket.
    connect_timeout_min: float = 1.5
    #: From connected to the peer's handshake: rain 10 s, anacrolix 4, libtorrent 10.
    handshake_timeout: float = 5.0
    #: ... of one that did not speak the first time, tried once more.
    second_handshake_timeout: float = 2.0
    #: Without useful bytes: rain snubs after 20 s, rqbit 10.
    progress_timeout: float = 5.0
    #: For a lone peer that does send, if slowly.
    lone_progress_timeout: float = 20.0
    #: Useful bytes a second below which a peer counts as stalled (a partial frame trickled).
    min_rate: float = 256.0
    #: Inbound connections at once that are not answered yet: a bulk fetch from one address has 200 in
    #: flight, and one address gets half of them.
    max_pending_inbound: int = 500
    #: Inbound connections at once.
    max_inbound: int = 1000
    #: A plugin may ask to keep a peer that lacks metadata this long at most.
    max_keep_open: float = 60.0

    # -- scheduling ------------------------------------------------------------------------
    #: Magnets in exchange at once.
    jobs: int = 200
    #: Whole fetch.
    timeout: float = 60.0
    #: Wait for callers when every peer was tried, where we listen and were announced.
    linger: float = 10.0
    #: With nothing but unanswered dials a magnet gives its slot up after this.
    slot_patience: float = 0.5
    #: Magnets that gave their slot up and still wait; bounds memory.
    max_parked: int = 5000

    # -- trackers --------------------------------------------------------------------------
    #: UDP announces in flight in the process: bursts are lost in socket buffers.
    udp_in_flight: int = 100
    #: Retransmissions (BEP 15 says 15 * 2**n; a lost packet should not cost 15 s).
    udp_retransmit: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 15.0)
    #: A connection id is good for 60 s (BEP 15); renewed a little earlier.
    udp_connection_id_life: float = 55.0
    #: Bytes of receive buffer asked of the kernel for the UDP sockets.
    udp_receive_buffer: int = 4 * MIB
    #: Trackers of one magnet asked at once.
    trackers_at_once: int = 10
    #: Trackers of one magnet used at all; a hostile magnet can name any number.
    max_trackers: int = 100
    #: Announces in flight to one HTTP tracker.
    http_in_flight: int = 50
    #: HTTP trackers are asked this long after UDP ones.
    http_hedge: float = 0.3
    #: ... and this long at most while peers that UDP ones named are still being tried.
    http_hold: float = 3.0
    #: One HTTP announce, redirects included.
    http_timeout: float = 15.0
    #: Redirects followed.
    http_redirects: int = 3
    #: Body of an announce, compressed and decompressed alike (libtorrent 1 MiB, rain 2).
    http_body: int = 1 * MIB
    #: Peers taken of one announce.
    max_peers_per_announce: int = 1000
    #: Shortest and longest interval believed.
    min_interval: float = 30.0
    max_interval: float = 86_400.0
    #: (tracker, infohash) pairs whose interval is remembered.
    remembered_announces: int = 50_000
    #: At exit, for `stopped` to be sent.
    stop_timeout: float = 0.5

    # -- names -----------------------------------------------------------------------------
    #: One name's resolution.
    resolve_timeout: float = 5.0
    #: Threads and names waiting for one.
    resolve_threads: int = 10
    resolve_queue: int = 1000
    #: How long an answer, and a failure, is remembered; and how many.
    resolve_ttl: float = 300.0
    resolve_failure_ttl: float = 60.0
    resolve_cache: int = 10_000

    # -- magnets ---------------------------------------------------------------------------
    #: Characters of one magnet; honest ones have a few thousand.
    max_magnet: int = 64 * KIB
    #: Values of one repeated key.
    max_magnet_values: int = 500
    #: Ranges and files of `so` (BEP 53).
    max_select: int = 10_000

    # -- the store -------------------------------------------------------------------------
    #: Peers kept for one job, of all magnets that name it (`max_trackers` trackers).
    max_known_peers: int = 500
    #: Bytes of JSON kept of what a failed try learned; a report of 100 trackers has 30,000.
    max_learned: int = 64 * KIB
    max_report: int = 256 * KIB
    #: Rows of one transaction: what waits behind it waits a tenth of a second, not a whole one.
    store_rows: int = 5000
    #: Rows waiting to be written, and questions waiting for a thread, before more are refused.
    store_waiting_rows: int = 500_000
    store_waiting_reads: int = 5000
    #: Jobs looked at for one page of a search by name; the page may come short, with a cursor.
    store_search: int = 100_000

    # -- the daemon's queue ----------------------------------------------------------------
    #: Outcomes that wait to be saved, and their bytes, before no more magnets are begun: what a store
    #: that cannot write (a full disk) may cost in memory.
    max_unsaved: int = 2000
    max_unsaved_bytes: int = 64 * MIB
    #: Magnets begun out of turn at once, because a peer has called for them.
    max_called: int = 50
    #: Peers and trackers of one magnet that are remembered from one try to the next, across restarts.
    learned_peers: int = 50
    learned_trackers: int = 50
    #: Lines of a watched file that go into the store in one transaction.
    lines_at_once: int = 1000

    # -- HTTP (the daemon's API and page) --------------------------------------------------
    #: Connections at once; one without a whole request gives way to a new one.
    web_connections: int = 500
    #: From the first byte of a request to the end of its headers (nginx 60 s, Apache 20).
    web_header_timeout: float = 15.0
    #: A connection that is kept without a request (nginx 75 s).
    web_idle_timeout: float = 75.0
    #: Without a byte of a body that we are ready to read, and one body in all.
    web_body_timeout: float = 20.0
    web_body_time: float = 600.0
    #: An answer of which the client takes nothing.
    web_write_timeout: float = 60.0
    #: A refused body is read and dropped this long, so that the client sees the answer and no reset.
    web_linger: float = 2.0
    #: Bytes of a request's body that wait to be read before the socket is paused.
    web_body_buffer: int = 256 * KIB
    #: Bodies: lines of magnets, JSON with magnets, anything else.
    web_text_body: int = 64 * MIB
    web_json_body: int = 4 * MIB
    web_small_body: int = 16 * KIB
    #: Posts of magnets over `web_large_post` bytes, or of unknown length, at once.
    web_large_post: int = 1 * MIB
    web_large_posts: int = 4
    #: Magnets of a post that go into one transaction.
    web_batch: int = 2000
    #: Seconds that one request may keep the reactor in one go.
    web_slice: float = 0.008
    #: Invalid lines told in the answer to one post, and characters shown of each.
    web_invalid_rows: int = 10_000
    web_input_shown: int = 200
    #: Requests of one address (IPv6: of one /64) a second, after a burst; one costs about a millisecond.
    web_rate: float = 500.0
    web_burst: int = 2000
    #: Wrong tokens of one address, then one each so many seconds.
    web_wrong_tokens: int = 10
    web_wrong_token_refill: float = 10.0
    #: Addresses that are remembered for the two above.
    web_addresses: int = 10_000
    #: Days that a login of the page lasts.
    web_session_days: int = 180
    #: Streams of events at once, and requests that wait for a job: together less than the connections.
    web_streams: int = 100
    web_waiters: int = 300
    #: Longest `?wait=`, whole seconds.
    web_wait: int = 60
    #: Events kept for those who come back, and characters of magnets in them.
    web_events: int = 10_000
    web_event_text: int = 16 * MIB
    #: Events a stream may lie behind before it is told to load the list again.
    web_stream_backlog: int = 1000
    #: A comment line on a silent stream: proxies cut connections after 30 to 60 s.
    web_heartbeat: float = 15.0
    #: File lists being read at once: a large one takes hundreds of milliseconds of CPU.
    web_file_readers: int = 2

    # -- outlets ---------------------------------------------------------------------------
    #: Results handed to one outlet at once: a receiver is somebody's small script.
    outlet_at_once: int = 4
    #: One try of any outlet, however long its plugin would take.
    outlet_timeout: float = 120.0
    #: Failures on end after which an outlet rests, and is then tried with one result at a time.
    outlet_failures: int = 5
    #: One POST of the webhook: to connect, and in all.
    webhook_connect: float = 10.0
    webhook_timeout: float = 30.0
    #: Largest .torrent that goes along in the POST (nearly all are under 100 KiB): a third more in base64.
    webhook_torrent: int = 1 * MIB
    #: Bytes read of a receiver's answer, whose first words go into the log.
    webhook_answer: int = 16 * KIB

    # -- DHT: messages and what a node keeps (BEP 5) -----------------------------------------
    #: Bytes of a datagram that is read. BEP 32 sends 1024 at most; some nodes send values by the hundred.
    dht_datagram: int = 4 * KIB
    #: Nodes taken of one ``nodes`` (BEP 5: 8; some send 16), and peers taken of one ``values``.
    dht_nodes: int = 32
    dht_values: int = 200
    #: Bytes of a token that we carry back: others' have 4 to 20.
    dht_token: int = 64
    #: Bytes of a transaction id that we give back: others' have 2 to 8.
    dht_transaction: int = 32
    #: Peers that others announced to us, in all; and infohashes they are of: some 10 MB.
    #: libtorrent keeps 2,000 infohashes.
    dht_stored: int = 50_000
    dht_stored_infohashes: int = 10_000
    #: ... of one infohash and family (libtorrent 500); ... of one /24 or /64 in one infohash; and in all.
    dht_stored_peers: int = 500
    dht_stored_neighbours: int = 8
    dht_stored_per_place: int = 500
    #: How long: peers are announced again every 15 to 30 minutes, and one announce may be lost.
    dht_stored_life: float = 2400.0
    #: The file in which a node's table outlives it: bytes that are read, and nodes of each family.
    dht_table_file: int = 64 * KIB
    dht_saved_nodes: int = 300

    # -- DHT: asking and answering (BEP 5) -------------------------------------------------
    #: Queries at once before the rate counts, but no more than a second of it: a few magnets are through
    #: before it does, and those in flight at once are bounded by `dht_lookups`.
    dht_burst: float = 250.0
    #: Queries to one address a second, after a burst. libtorrent blocks who sends more than 50 packets in
    #: 10 s for five minutes (dht_block_ratelimit), our answers to its own queries among them.
    dht_address_rate: float = 3.0
    dht_address_burst: float = 8.0
    #: Until an answer is measured: when the next node is asked, and when this one is given up.
    dht_first_stall: float = 0.4
    dht_first_timeout: float = 1.0
    #: Bounds of what is measured. libtorrent asks the next after 3 s and gives up after 15.
    dht_min_stall: float = 0.1
    dht_min_timeout: float = 0.3
    dht_max_timeout: float = 3.0
    #: An answer that comes later than this is nobody's.
    dht_forget: float = 4.0
    #: Lookups of infohashes at once: each sends some 20 queries a second by itself, so that these use up the
    #: rate; more would only take longer each.
    dht_lookups: int = 16
    #: ... while we know no node: all of them would ask the same few.
    dht_lookups_cold: int = 4
    #: ... and seconds from one of those to the next.
    dht_cold_pause: float = 0.25
    #: Disjoint paths of a lookup (S/Kademlia 4 to 8), and queries in flight over all of them (libtorrent 5).
    dht_paths: int = 4
    dht_in_flight: int = 8
    #: Queries of one lookup in one family, and seconds; honest ones need 30 to 60, and 1 to 5 s.
    dht_lookup_queries: int = 120
    dht_lookup_time: float = 20.0
    #: Nodes taken of one answer, the closest of them (BEP 5: 8), and candidates of one path. With 16, nodes
    #: that invent silent neighbours of the target cost twice the queries.
    dht_nodes_per_answer: int = 8
    dht_candidates: int = 64
    #: Peers taken of one answer (libtorrent names 100 at most), and of one lookup: a third of some 40 nodes
    #: may name nothing but lies.
    dht_peers_per_answer: int = 50
    dht_peers: int = 1000
    #: Seconds from the first query until a network that has not answered counts as unreachable.
    dht_unreachable: float = 3.0
    #: Nodes that peers named and that wait for a ping; and those of the table, beside them.
    dht_heard: int = 100
    #: Queries of others answered a second, of one address, of one /24 (answers are larger than queries,
    #: whose source anybody can write there) and in all, after a burst.
    dht_answers_rate: float = 10.0
    dht_answers_burst: float = 30.0
    dht_answers_rate_near: float = 50.0
    dht_answers_burst_near: float = 200.0
    #: 500 answers with peers are some 300 KB/s; a node is asked some ten times a second.
    dht_answers_rate_all: float = 500.0
    dht_answers_burst_all: float = 1000.0

    # -- web sources (xs, as, ws of a magnet) ----------------------------------------------
    #: GETs of .torrent files at once, and of one server: indexers refuse who asks for much more.
    web_sources_at_once: int = 16
    web_sources_per_server: int = 4
    #: ... that wait for one of them: no fewer than the magnets that are looked for (`max_parked`).
    web_sources_waiting: int = 10_000
    #: One GET, redirects included: 64 MiB at 2 MiB/s.
    web_source_timeout: float = 30.0
    #: A magnet's next web source is asked when the one before has failed, or after so long.
    web_source_patience: float = 2.0
    #: Web sources of one magnet that are asked at all; a hostile one names hundreds.
    web_sources_per_magnet: int = 8
    #: A magnet's own time does not run while it waits for its turn, but no longer than this.
    web_source_wait: float = 120.0
    #: A server that failed this often on end is left alone for so long.
    web_source_failures: int = 2
    web_source_rest: float = 60.0
    #: Bytes of all .torrent files on their way (raised to twice what one may have, which is twice
    #: `max_metadata`: piece layers may be as long as the info dictionary, BEP 52).
    web_sources_bytes: int = 128 * MIB

    # -- LSD (BEP 14) ----------------------------------------------------------------------
    #: An infohash is announced once in so long, and what others announce is believed for twice as long, so
    #: that one lost datagram costs nothing.
    lsd_interval: float = 300.0
    #: Datagrams at once, into each subnet, and seconds for each one after that. BEP 14 wants no more than
    #: one a minute, and several infohashes in one for over 5 torrents. Transmission: one a minute.
    lsd_burst: int = 5
    lsd_minute: float = 60.0
    #: An announce waits so long for others that may go along, and for trackers that may be quicker.
    lsd_gather: float = 0.1
    #: Then neighbours have so long to call us before the source is finished: libtorrent does so at once.
    lsd_wait: float = 2.0
    #: ... for a magnet that names no trackers: Transmission takes up to 5 s, aria2 10.
    lsd_wait_alone: float = 11.0
    #: Datagrams a second that are read at all (2 % of a core for junk); announces a second that are looked
    #: into, in all and of one address. Transmission takes 10 a second; libtorrent sends up to 3.
    lsd_reads: float = 2000.0
    lsd_rate: float = 100.0
    lsd_rate_each: float = 5.0
    #: ... and at once: bittorrent-lsd sends one for each torrent when it starts.
    lsd_burst_in: int = 500
    lsd_burst_each: int = 100
    #: Neighbours remembered, and infohashes of each that it announced (5 MB when full).
    lsd_neighbours: int = 64
    lsd_infohashes: int = 500
    #: Peers of one magnet taken; of one address, that can be anybody's on the subnet, so many ports.
    lsd_peers: int = 50
    lsd_ports: int = 4
    #: Magnets listened for at once.
    lsd_magnets: int = 20_000
    #: Interfaces used (Linux lets a socket be in 20 groups), and seconds between looks at what we have.
    lsd_interfaces: int = 16
    lsd_look: float = 60.0

    # -- extra trackers (a list of the user's) ---------------------------------------------
    #: Bytes of the list, and trackers of it that are used: public ones have 20 to 150, in 8 KiB.
    extra_list: int = 1 * MIB
    extra_trackers: int = 200
    #: A list at a URL is fetched once in so long (public ones change daily); after a failure sooner.
    extra_list_life: float = 86_400.0
    extra_list_retry: float = 3600.0
    #: A file is looked at once in so long.
    extra_file_look: float = 60.0

    # -- peer exchange (BEP 11) ------------------------------------------------------------
    #: Peers without metadata that one fetch keeps open for what they may name.
    max_pex_kept: int = 4
    #: A fetch that has nothing else left waits so long for the first message of one that it keeps.
    #: Measured: aria2 1.36 sends it at once, Transmission 3.00 within 0.5 s, libtorrent 2.1.1 at its next
    #: tick (1 s) if it sent none to anybody in the last 3 s (its source); webtorrent 2 only after 65 s.
    pex_wait: float = 4.0
    #: Peers taken of one connection, those said to be seeds first: four liars to fill `max_hearsay`.
    #: The BEP has 50 in a message, libtorrent sends 100 in its first.
    max_pex_peers: int = 50
    #: ... on one host: nobody's machine is to be knocked at all over because a peer says so.
    max_pex_ports: int = 4
    #: Messages of one peer in a minute; who sends more is hung up on, as the BEP allows. The BEP has one
    #: a minute; libtorrent hangs up at the seventh, webtorrent at the second.
    max_pex_messages: int = 6


DEFAULT_LIMITS = Limits()
