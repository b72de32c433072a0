"""`FetchSettings`: what a user may set about fetching; the rest is in `Limits`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from functorrent.limits import DEFAULT_LIMITS, Limits


@dataclass(frozen=True)
class FetchSettings:
    """How to fetch.

    `jobs`: magnets in exchange at once. `timeout`, `linger`: seconds. `listen`: Twisted endpoint
    descriptions ("tcp:6881"); empty for an ephemeral port, ("off",) for none. `max_connections`:
    sockets to peers, None for as many as limits and the system let. `dial_rate`: dials a second, or
    None. `max_metadata`: bytes. `allow_local`: loopback, private and link-local addresses may be
    reached. `trackers`, `peers`: further ones for every magnet, typed by the user and so trusted;
    `save_trackers`: those trackers go into the .torrent too.
    """

    jobs: int = DEFAULT_LIMITS.jobs
    timeout: float = DEFAULT_LIMITS.timeout
    linger: float = DEFAULT_LIMITS.linger
    listen: tuple[str, ...] = ()
    max_connections: int | None = None
    dial_rate: float | None = None
    max_metadata: int = DEFAULT_LIMITS.max_metadata
    allow_local: bool = False
    trackers: tuple[str, ...] = ()
    save_trackers: bool = False
    peers: tuple[tuple[str, int], ...] = ()

    @property
    def listens(self) -> bool:
        """Whether peers may call us."""
        return self.listen != ("off",)

    def limits(self, base: Limits = DEFAULT_LIMITS) -> Limits:
        """`base` with what is set here in its place."""
        sockets = sockets_for_peers()
        # Callers take a part of them, or neither could be sure of its own.
        inbound = min(base.max_inbound, sockets // 4) if self.listens else 0
        return replace(
            base,
            jobs=self.jobs,
            timeout=self.timeout,
            linger=self.linger,
            max_metadata=self.max_metadata,
            max_assembling=max(base.max_assembling, 2 * self.max_metadata),
            max_connections=self.max_connections or min(base.max_connections, sockets - inbound),
            max_inbound=inbound or base.max_inbound,
            max_serving=max(base.max_serving, 2 * self.max_metadata),
        )


def sockets_for_peers() -> int:
    """How many sockets RLIMIT_NOFILE leaves for peers, a part kept for all else."""
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 1_000_000
    return max(16, soft - max(64, soft // 8))
