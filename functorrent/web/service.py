"""`HttpService`: the HTTP side as a service of the daemon, which refuses to be open to all by accident."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from functorrent.errors import UsageError

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from functorrent.web.site import WebSite

#: Seconds that requests under way get when the daemon stops.
STOP_PATIENCE = 3.0


class HttpService(Service):
    """Listens at an endpoint (``tcp:9667:interface=127.0.0.1``) with a site.

    `gave_up(words)` is called where it cannot: the port is taken, or the address is not loopback and the
    site has no token. `port` is the listening port once there is one; `ready` fires with it.
    """

    name = "http"
    log = Logger()

    def __init__(self, reactor: Any, endpoint: str, site: WebSite, gave_up: Callable[[str], None]) -> None:
        self._reactor = reactor
        self._endpoint = endpoint
        self._site = site
        self._gave_up = gave_up
        self._listening: Deferred[Any] | None = None
        self.port: Any = None
        self.ready: Deferred[Any] = Deferred()

    def startService(self) -> None:
        """Listen."""
        Service.startService(self)
        try:
            endpoint = serverFromString(self._reactor, self._endpoint)
            if not (self._site.doors.required or is_local(self._endpoint)):
                raise UsageError(
                    f"--http {self._endpoint}: everybody who reaches this address could use the daemon; "
                    "give it a --token-file (it is made where it is missing), or listen on 127.0.0.1"
                )
        except UsageError as error:
            self._gave_up(str(error))
            return
        except Exception as error:
            # Endpoint plugins raise what they like.
            self._gave_up(f"--http {self._endpoint}: not an endpoint: {error}")
            return
        self._listening = endpoint.listen(self._site)
        self._listening.addCallbacks(self._listens, self._cannot_listen)

    def _listens(self, port: Any) -> None:
        self._listening = None
        self.port = port
        # What "localhost" is, /etc/hosts says.
        if not (self._site.doors.required or _is_loopback(getattr(port.getHost(), "host", "::1"))):
            self._gave_up(f"--http {self._endpoint}: this is not a loopback address, and there is no token")
            return
        self.log.info("HTTP listens on {address}", address=_name(port.getHost()))
        self.ready.callback(port)

    def _cannot_listen(self, failure: Failure) -> None:
        self._listening = None
        if failure.check(CancelledError):
            return
        error: Any = failure.value
        if isinstance(error, CannotListenError):
            why = getattr(error.socketError, "strerror", None) or str(error.socketError)
            self._gave_up(f"--http {self._endpoint}: {why}")
        else:
            self._gave_up(f"--http {self._endpoint}: {error}")

    def stopService(self) -> Deferred[None]:
        """Take no more connections; answer what is under way. Fires within STOP_PATIENCE and a moment."""
        if not self.running:
            return succeed(None)
        Service.stopService(self)
        if self._listening is not None:
            self._listening.cancel()
        port, self.port = self.port, None
        return Deferred.fromCoroutine(self._stop(port))

    async def _stop(self, port: Any) -> None:
        if port is not None:
            await maybeDeferred(port.stopListening)
        await self._site.close(STOP_PATIENCE)


def is_local(endpoint: str) -> bool:
    """Whether an endpoint description listens where this machine alone can reach it.

    What is not known to be so is not: an inherited socket (``systemd:``) may be any.
    """
    parts = _split(endpoint)
    kind = parts[0].lower()
    if kind == "unix":
        return True
    if kind not in ("tcp", "tcp4", "tcp6", "ssl"):
        return False
    interface = ""
    for part in parts[1:]:
        name, _, value = part.partition("=")
        if name == "interface":
            interface = value
    return interface == "localhost" or _is_loopback(interface)


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.removeprefix("::ffff:")).is_loopback
    except ValueError:
        return False


def _split(endpoint: str) -> list[str]:
    """The parts between colons, of which those behind a backslash are none."""
    parts, escaped = [""], False
    for character in endpoint:
        if escaped or character not in ":\\":
            parts[-1] += character
            escaped = False
        elif character == "\\":
            escaped = True
        else:
            parts.append("")
    return parts


def _name(address: Any) -> str:
    host = getattr(address, "host", None)
    if host is None:
        return str(getattr(address, "name", address))
    return f"http://[{host}]:{address.port}/" if ":" in host else f"http://{host}:{address.port}/"
