"""Counters of the DHT node, for the report, the page and metrics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class DhtStats:
    """Plain counters since the start; read them at any time."""

    #: Queries we sent, and what became of them: answers (late ones too), errors, nothing in time.
    queries_sent: int = 0
    answers: int = 0
    errors: int = 0
    timeouts: int = 0
    #: Answers by another id than the one the node was named with.
    wrong_ids: int = 0
    #: Queries of others, those answered, and those refused with an error.
    queries_received: int = 0
    answered: int = 0
    refused: int = 0
    #: Datagrams dropped: not the DHT's, of nobody we asked, over the rate.
    malformed: int = 0
    unknown: int = 0
    over_rate: int = 0
    #: Lookups of infohashes begun and ended, those cancelled on the way, and peers that they found.
    lookups: int = 0
    lookups_ended: int = 0
    lookups_cancelled: int = 0
    peers_found: int = 0
    #: Our announce_peer that somebody accepted.
    announced: int = 0

    @property
    def dropped(self) -> int:
        """All datagrams that were dropped."""
        return self.malformed + self.unknown + self.over_rate
