"""`WebContext`: everything that the HTTP side is given by whoever puts the daemon together."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from functorrent.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from klein import Klein

    from functorrent.interfaces import IWallClock

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def _fine() -> Sequence[str]:
    return ()


def _nothing() -> Sequence[Mapping[str, Any]]:
    return ()


@dataclass(frozen=True)
class WebContext:
    """What handlers work with.

    `clock`: IReactorTime, monotonic; `wall`: IWallClock; `store`: IStore; `queue`: IQueue; `version`: ours;
    `token`: None where everybody who reaches us may do everything; `hosts`: further names we answer to
    (``--http-host``). `health()`: sentences on what is wrong with the queue, none when all is well.
    `in_flight()`: magnets being fetched now. `minutes()`: the last hour by minute, as `/api/v1/stats` tells
    it; `dht()`: the DHT, as told there, or None. `metrics()`: the body of `/metrics`, of the type
    `metrics_type`, or None where there are none.
    `answered(method, route, status)` hears of each answer; the route is a template, or "-".
    `pages`: called with the Klein app and this context, to add routes that are no API (the page); what lies
    below ``/page/``, and ``/``, is open to everybody. `boot`: a word that no other run has had.
    """

    clock: Any
    wall: IWallClock
    store: Any
    queue: Any
    version: str
    token: str | None = None
    hosts: Iterable[str] = ()
    limits: Limits = DEFAULT_LIMITS
    health: Callable[[], Sequence[str]] = _fine
    in_flight: Callable[[], int] | None = None
    dht: Callable[[], Mapping[str, Any] | None] | None = None
    minutes: Callable[[], Sequence[Mapping[str, Any]]] = _nothing
    metrics: Callable[[], bytes] | None = None
    metrics_type: str = METRICS_TYPE
    answered: Callable[[str, str, int], None] | None = None
    pages: Sequence[Callable[[Klein, WebContext], None]] = ()
    boot: str = field(default_factory=lambda: secrets.token_hex(4))
    started: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "started", self.wall.now())
