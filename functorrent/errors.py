"""Every error functorrent raises, typed by who is at fault.

::

    FunctorrentError
    +-- InputError               what the user gave is wrong
    |   +-- InvalidMagnet        not a magnet link or an infohash
    |   +-- UnsupportedMagnet    a magnet we understand but cannot fetch yet (v2 only)
    |   +-- InvalidTorrent       not a .torrent file, or not a whole one
    |   +-- UsageError           options that do not fit together
    +-- OutputError              where results go cannot be written
    +-- StoreError               the daemon's store cannot be read or written
    |   +-- StoreTooNew          it was made by a newer functorrent
    |   +-- StoreCorrupt         it is damaged, or no store
    |   +-- StoreLocked          another process has it
    |   +-- StoreFull            no space is left for it
    +-- DeliveryFailed           an outlet's receiver did not take a result: again later
    |   +-- DeliveryRefused      ... and never will
    +-- QueueClosed              the daemon is stopping, and takes nothing more
    +-- LocalProtocolError       our own code (or a plugin) misused a codec: a bug
    +-- RemoteProtocolError      a stranger broke a protocol
    |   +-- BencodeError         bytes that are not the bencode allowed there
    |   +-- PeerError            a peer; carries ``outcome``, a word of PEER_OUTCOMES
    |   |   +-- NotBitTorrent         its handshake is not BitTorrent's
    |   |   +-- WrongInfohash         it shares another torrent
    |   |   +-- ConnectedToSelf       it is us
    |   |   +-- NoExtensionProtocol   it has no BEP 10
    |   |   +-- NoMetadata            it does not share metadata (no ut_metadata, no size)
    |   |   +-- MetadataRejected      it answered requests with reject
    |   |   +-- MessageTooLong        a length prefix over what that message may have
    |   |   +-- MalformedMessage      a message of the wrong shape
    |   |   +-- BadMetadataSize       a metadata_size that is no size, or over the cap
    |   |   +-- WrongBlockLength      a block that is not as long as its place demands
    |   |   +-- UnrequestedBlock      a block nobody asked it for
    |   |   +-- CorruptMetadata       a whole it alone sent has the wrong hash
    |   |   +-- PeerStalled           no useful bytes within the progress deadline
    |   |   +-- PeerSilent            connected, but no handshake in time
    |   |   +-- PeerClosed            it hung up before it was of use
    |   +-- TrackerProtocolError an answer a tracker must not give
    |   +-- MalformedKrpc        a DHT node's datagram that is no message

    |   +-- MalformedLsd         a datagram that is no announce on the local network
    +-- TrackerError             a tracker was of no use; carries ``status``
    |   +-- TrackerFailed        it refused, and said why
    |   +-- TrackerTimedOut      it did not answer
    |   +-- TrackerUnsupported   a URL we cannot use (wss:, nonsense)
    +-- DhtSilent                a DHT node did not answer
    +-- AddressNotAllowed        the address guard refused a host or a peer
    +-- NameNotResolved          a host name has no address
    +-- FetchFailed              a fetch ended without metadata; carries the report
        +-- NotAnInfoDictionary  the hash matches, but this is no info dictionary

Expected failures of the swarm are counted and reported; none of them is logged as an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from functorrent.fetch.report import FetchReport

#: The words a report counts peers by (DESIGN section 5). Every peer ends as exactly one.
PEER_OUTCOMES = (
    "refused",
    "timed_out",
    "unreachable",
    "not_allowed",
    "closed",
    "not_bittorrent",
    "wrong_infohash",
    "self",
    "no_extensions",
    "no_metadata",
    "rejected",
    "bad_data",
    "stalled",
    "cancelled",
    "fetched",
)

#: The words a report gives a tracker (DESIGN section 5).
TRACKER_STATUSES = ("ok", "failed", "timed_out", "unsupported", "not_allowed", "cancelled")


class FunctorrentError(Exception):
    """The root of every error functorrent raises on purpose."""


class InputError(FunctorrentError):
    """What the user gave is wrong; the message says what and how to mend it."""


class InvalidMagnet(InputError):
    """Neither a magnet link nor an infohash."""


class UnsupportedMagnet(InputError):
    """A magnet that is understood but cannot be fetched yet."""


class InvalidTorrent(InputError):
    """Bytes that are not a .torrent file."""


class UsageError(InputError):
    """Options that cannot be used, alone or together."""


class OutputError(FunctorrentError):
    """Results cannot be written where they should go."""


class StoreError(FunctorrentError):
    """The daemon's store cannot be read or written; the message is for whoever runs it."""


class StoreTooNew(StoreError):
    """The store was made by a newer functorrent."""


class StoreCorrupt(StoreError):
    """The store is damaged, or is no store at all."""


class StoreLocked(StoreError):
    """Another process has the store."""


class StoreFull(StoreError):
    """No space is left where the store is."""


class DeliveryFailed(FunctorrentError):
    """An outlet's receiver did not take a result; it is tried again later."""


class DeliveryRefused(DeliveryFailed):
    """An outlet's receiver does not want this result, now or later."""


class QueueClosed(FunctorrentError):
    """The daemon is stopping, and takes nothing more."""


class LocalProtocolError(FunctorrentError):
    """Our side asked a codec for something the protocol does not allow: a bug of the caller."""


class RemoteProtocolError(FunctorrentError):
    """A stranger sent what its protocol does not allow."""


class BencodeError(RemoteProtocolError):
    """Bytes that are not bencode, or not within the budgets for that place."""


class PeerError(RemoteProtocolError):
    """A peer was of no use; ``outcome`` is the word it is counted by."""

    outcome: ClassVar[str] = "bad_data"


class NotBitTorrent(PeerError):
    """The first bytes are not a BitTorrent handshake."""

    outcome = "not_bittorrent"


class WrongInfohash(PeerError):
    """The handshake names another infohash than ours."""

    outcome = "wrong_infohash"


class ConnectedToSelf(PeerError):
    """The handshake carries our own peer id."""

    outcome = "self"


class NoExtensionProtocol(PeerError):
    """The reserved bytes lack the extension protocol's bit (BEP 10)."""

    outcome = "no_extensions"


class NoMetadata(PeerError):
    """The peer does not share metadata: no ut_metadata, or no metadata_size."""

    outcome = "no_metadata"


class MetadataRejected(PeerError):
    """The peer rejects our metadata requests (BEP 9, msg_type 2)."""

    outcome = "rejected"


class MessageTooLong(PeerError):
    """A length prefix over what that message may have; refused before a buffer is made."""

    def __init__(self, length: int, limit: int, message_id: int | None = None) -> None:
        super().__init__(f"a message of {length} bytes (id {message_id}), over the limit of {limit}")
        self.length = length
        self.limit = limit
        self.message_id = message_id


class MalformedMessage(PeerError):
    """A message that does not have its type's shape."""


class BadMetadataSize(PeerError):
    """A metadata_size that is no size, or is over the cap."""


class WrongBlockLength(PeerError):
    """A metadata block that is not as long as its place demands."""


class UnrequestedBlock(PeerError):
    """A metadata block that was not asked of this peer."""


class CorruptMetadata(PeerError):
    """All blocks of a whole came from this peer alone, and the whole has the wrong hash."""


class PeerStalled(PeerError):
    """No useful bytes, or too few a second, within the progress deadline."""

    outcome = "stalled"


class PeerSilent(PeerError):
    """The connection was accepted, but no handshake came in time."""

    outcome = "timed_out"


class PeerClosed(PeerError):
    """The peer hung up before it was of use."""

    outcome = "closed"


class TrackerProtocolError(RemoteProtocolError):
    """An answer that no tracker may give."""


class MalformedKrpc(RemoteProtocolError):
    """A datagram that is no message of the DHT (BEP 5).

    `transaction`: its transaction id, where it has one all the same; `query`: it is a query then, so that
    error 203 can be answered.
    """

    def __init__(self, words: str, *, transaction: bytes | None = None, query: bool = False) -> None:
        super().__init__(words)
        self.transaction = transaction
        self.query = query


class DhtSilent(FunctorrentError):
    """A DHT node did not answer in time, or cannot be reached from here."""


class MalformedLsd(RemoteProtocolError):
    """A datagram to the groups of local service discovery that is no announce (BEP 14)."""


class TrackerError(FunctorrentError):
    """A tracker was of no use; ``status`` is a word of TRACKER_STATUSES."""

    status: ClassVar[str] = "failed"


class TrackerFailed(TrackerError):
    """The tracker refused, or its answer cannot be used; the message says why."""


class TrackerTimedOut(TrackerError):
    """The tracker did not answer in time."""

    status = "timed_out"


class TrackerUnsupported(TrackerError):
    """A tracker URL that we cannot use."""

    status = "unsupported"


class AddressNotAllowed(FunctorrentError):
    """The address guard refused a host, a redirect or a peer."""

    def __init__(self, host: str, why: str) -> None:
        super().__init__(f"{host} is {why}")
        self.host = host
        self.why = why


class NameNotResolved(FunctorrentError):
    """A host name has no address, or the answer did not come in time."""


class FetchFailed(FunctorrentError):
    """A fetch ended without metadata; ``report`` says what was tried."""

    def __init__(self, report: FetchReport) -> None:
        super().__init__(report.reason)
        self.report = report


class NotAnInfoDictionary(FetchFailed):
    """The bytes have the right hash but are no info dictionary: no peer can help."""
