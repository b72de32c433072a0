"""One peer connection as a state machine: BEP 3 and BEP 10, without I/O.

Everything that changes the state of a connection lives here. The laws:

- a state changes only by an input that `TRANSITIONS` lists for it; a remote input that is not listed
  closes the session with an error, a local one raises LocalProtocolError;
- nothing raises in the middle of a buffer: the events ahead of a lie are returned, the lie is kept
  in `failure`, and the session is closed;
- what is to be sent collects in one buffer, so that one read leads to at most one write; what is sent
  into a closed session goes nowhere, for whoever answers the events ahead of a lie comes too late.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from functorrent.errors import LocalProtocolError, MalformedMessage, PeerError
from functorrent.limits import DEFAULT_LIMITS, Limits
from functorrent.wire.extended import (
    HANDSHAKE_ID,
    ExtendedHandshake,
    LocalExtensions,
    RemoteExtensions,
)
from functorrent.wire.framing import EXTENDED_ID, FrameDecoder, encode_frame
from functorrent.wire.handshake import LENGTH, Handshake, check_prefix
from functorrent.wire.port import PORT_ID, Port

if TYPE_CHECKING:
    from functorrent.wire.messages import Message

#: Extended handshakes one peer may send. Honest ones send a few, when what they offer changes; each
#: costs far more to read than to send.
MAX_HANDSHAKES = 100


class State(Enum):
    """Where a connection stands."""

    # Enum's own is Python code; these are keys of a table read for each message.
    __hash__ = object.__hash__

    IDLE = "nothing said by either side"
    GREETED = "we sent our handshake, theirs has not come"
    CALLED = "theirs has come, we have not answered"
    OPEN = "both handshakes done"
    CLOSED = "over"


class Input(Enum):
    """What can happen to a connection."""

    # Enum's own is Python code; these are keys of a table read for each message.
    __hash__ = object.__hash__

    SEND_HANDSHAKE = "we send our handshake"
    RECEIVE_HANDSHAKE = "theirs has come"
    SEND_MESSAGE = "we send a message"
    RECEIVE_MESSAGE = "a message of theirs has come"
    CLOSE = "either side hangs up, or lied"


#: What is not listed here is not allowed.
TRANSITIONS: dict[tuple[State, Input], State] = {
    (State.IDLE, Input.SEND_HANDSHAKE): State.GREETED,
    (State.IDLE, Input.RECEIVE_HANDSHAKE): State.CALLED,
    (State.GREETED, Input.RECEIVE_HANDSHAKE): State.OPEN,
    (State.CALLED, Input.SEND_HANDSHAKE): State.OPEN,
    # A caller may send on before we have answered its handshake.
    (State.CALLED, Input.RECEIVE_MESSAGE): State.CALLED,
    (State.OPEN, Input.SEND_MESSAGE): State.OPEN,
    (State.OPEN, Input.RECEIVE_MESSAGE): State.OPEN,
    **{(state, Input.CLOSE): State.CLOSED for state in State},
    **{(State.CLOSED, what): State.CLOSED for what in Input},
}


@dataclass(frozen=True, slots=True)
class ExtensionMessage:
    """A message of one of the extensions we offer."""

    name: str
    payload: bytes


Event: TypeAlias = "Handshake | ExtendedHandshake | ExtensionMessage | Message"

#: Bytes of a port message's payload.
_PORT_LENGTH = 2


class PeerSession:
    """A connection to a peer, either side having called.

    `extensions`: the ids we offer. With `every_message` false, messages that are neither extended
    nor port (BEP 5) are checked for their length only and not made into values (what a metadata fetch
    wants); true gives an event for each one.
    """

    __slots__ = (
        "_decoder",
        "_greeting",
        "_handshakes",
        "_outgoing",
        "every_message",
        "extensions",
        "failure",
        "limits",
        "local",
        "remote",
        "state",
    )

    def __init__(
        self, local: LocalExtensions, limits: Limits = DEFAULT_LIMITS, *, every_message: bool = True
    ) -> None:
        self.local = local
        self.limits = limits
        self.every_message = every_message
        self.state = State.IDLE
        self.extensions = RemoteExtensions()
        self.remote: Handshake | None = None
        self.failure: PeerError | None = None
        self._greeting = b""
        self._handshakes = 0
        self._decoder: FrameDecoder | None = None
        self._outgoing: list[bytes] = []

    # -- what comes in ---------------------------------------------------------------------

    def receive_data(self, data: bytes) -> list[Event]:
        """Feed bytes from the peer; returns the events they complete. See `failure` after it."""
        events: list[Event] = []
        if self.state is State.CLOSED:
            return events
        try:
            decoder = self._decoder
            if decoder is None:
                rest = self._receive_greeting(data, events)
                if rest is None:
                    return events
                data = rest
                decoder = self._decoder = FrameDecoder(self.limits)
            self._receive_frames(decoder, data, events)
        except PeerError as error:
            self.fail(error)
        return events

    def _receive_greeting(self, data: bytes, events: list[Event]) -> bytes | None:
        """Take the handshake off the front; None while it is not whole."""
        greeting = self._greeting + data if self._greeting else data
        if len(greeting) < LENGTH:
            check_prefix(greeting)
            self._greeting = greeting
            return None
        self._greeting = b""
        handshake = Handshake.decode(greeting[:LENGTH])
        self._receive(Input.RECEIVE_HANDSHAKE)
        self.remote = handshake
        events.append(handshake)
        return greeting[LENGTH:]

    def _receive_frames(self, decoder: FrameDecoder, data: bytes, events: list[Event]) -> None:
        frames = decoder.receive_data(data)
        # In OPEN a message changes nothing, either way: the table need not be asked.
        if frames and self.state is not State.OPEN:
            self._receive(Input.RECEIVE_MESSAGE)
        every = self.every_message
        for message_id, payload in frames:
            if message_id == EXTENDED_ID and isinstance(payload, bytes):
                self._receive_extended(payload, events)
            elif every:
                # A metadata fetch never gets here: it starts quicker without these classes.
                from functorrent.wire.messages import decode_message

                events.append(decode_message(message_id, payload))
            elif message_id == PORT_ID and isinstance(payload, bytes) and len(payload) == _PORT_LENGTH:
                events.append(Port(int.from_bytes(payload, "big")))
        if decoder.failure is not None:
            raise decoder.failure

    def _receive_extended(self, payload: bytes, events: list[Event]) -> None:
        if not payload:
            raise MalformedMessage("an extended message without its id")
        extended_id = payload[0]
        if extended_id == HANDSHAKE_ID:
            self._handshakes += 1
            if self._handshakes > MAX_HANDSHAKES:
                raise MalformedMessage(f"over {MAX_HANDSHAKES} extended handshakes")
            handshake = ExtendedHandshake.decode(payload[1:], self.limits)
            self.extensions.update(handshake.extensions, self.limits)
            events.append(handshake)
            return
        name = self.local.name(extended_id)
        # Ids we never gave are skipped, not fatal (DESIGN law 8).
        if name is not None:
            events.append(ExtensionMessage(name, payload[1:]))

    # -- what goes out ---------------------------------------------------------------------

    def send_handshake(self, handshake: Handshake) -> None:
        """Our handshake: first thing for a caller, the answer for one who was called."""
        data = handshake.encode()
        if self._send(Input.SEND_HANDSHAKE):
            self._outgoing.append(data)

    def send_extended_handshake(self, payload: bytes) -> None:
        """Our extended handshake, as `extended.encode_handshake` makes it."""
        if self.state is State.OPEN or self._send(Input.SEND_MESSAGE):
            self._outgoing.append(encode_frame(EXTENDED_ID, b"\x00" + payload))

    def send_extension(self, name: str, payload: bytes) -> bool:
        """A message of an extension; False, and nothing sent, where the peer has it not."""
        extended_id = self.extensions.id(name)
        if (self.state is not State.OPEN and not self._send(Input.SEND_MESSAGE)) or extended_id is None:
            return False
        self._outgoing.append(encode_frame(EXTENDED_ID, bytes((extended_id,)) + payload))
        return True

    def send(self, message: Message) -> None:
        """Any other message value."""
        encode = getattr(message, "encode", None)
        if encode is None:
            raise LocalProtocolError(f"{type(message).__name__} is only ever received")
        if self._send(Input.SEND_MESSAGE):
            self._outgoing.append(encode())

    def data_to_send(self) -> bytes:
        """The bytes to write now; b"" where there are none."""
        outgoing = self._outgoing
        if not outgoing:
            return b""
        data = b"".join(outgoing) if len(outgoing) > 1 else outgoing[0]
        outgoing.clear()
        return data

    # -- the end, and the table ------------------------------------------------------------

    @property
    def partial(self) -> int:
        """Bytes held of an unfinished handshake or frame."""
        return self._decoder.partial if self._decoder is not None else len(self._greeting)

    def close(self) -> None:
        """Hang up; what comes after is ignored, what is to be sent is dropped."""
        self.state = TRANSITIONS[self.state, Input.CLOSE]
        self._outgoing.clear()
        self._decoder = None
        self._greeting = b""

    def fail(self, error: PeerError) -> None:
        """Close for a fault of the peer's; the first one is kept in `failure`."""
        if self.failure is None:
            self.failure = error
        self.close()

    def _receive(self, what: Input) -> None:
        state = TRANSITIONS.get((self.state, what))
        if state is None:
            raise MalformedMessage(f"{what.value}, but {self.state.value}")
        self.state = state

    def _send(self, what: Input) -> bool:
        """Whether there is anybody to send to; LocalProtocolError where it is not our turn."""
        state = TRANSITIONS.get((self.state, what))
        if state is None:
            raise LocalProtocolError(f"{what.value}, but {self.state.value}")
        self.state = state
        return state is not State.CLOSED
