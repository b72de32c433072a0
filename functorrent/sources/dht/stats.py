"""Counters of the DHT node, for the report, the page and metrics."""

from __future__ import annotations


class DhtStats:
    """Plain counters since the start; read them at any time. (No dataclass: that takes a millisecond of
    every command's start.)"""

    def __init__(self) -> None:
        #: Queries we sent, and what became of them: answers (late ones too), errors, nothing in time.
        self.queries_sent = 0
        self.answers = 0
        self.errors = 0
        self.timeouts = 0
        #: Answers by another id than the one the node was named with.
        self.wrong_ids = 0
        #: Queries of others, those answered, and those refused with an error.
        self.queries_received = 0
        self.answered = 0
        self.refused = 0
        #: Datagrams dropped: not the DHT's, of nobody we asked, over the rate.
        self.malformed = 0
        self.unknown = 0
        self.over_rate = 0
        #: Lookups of infohashes begun and ended, those cancelled on the way, and peers that they found.
        self.lookups = 0
        self.lookups_ended = 0
        self.lookups_cancelled = 0
        self.peers_found = 0
        #: Our announce_peer that somebody accepted.
        self.announced = 0

    @property
    def dropped(self) -> int:
        """All datagrams that were dropped."""
        return self.malformed + self.unknown + self.over_rate

    def __repr__(self) -> str:
        return f"DhtStats({', '.join(f'{name}={value}' for name, value in vars(self).items())})"
