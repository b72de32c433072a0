"""One table of options, from which the command's argparse and twistd's usage.Options are built.

Importing it costs next to nothing: argparse, Twisted and the fetcher's settings are imported by the
functions that need them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from functorrent.errors import UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from functorrent.fetch.settings import FetchSettings

COMMAND = "command"
DAEMON = "daemon"
BOTH = (COMMAND, DAEMON)


class Option(NamedTuple):
    """One option.

    `name` as on the command line, without the dashes; `metavar` is None for a flag; `convert` makes
    the value of its text (raises UsageError with words that fit after the option's name); `many`: may
    be given more than once; `short`: one letter; `where`: COMMAND, DAEMON or both.
    """

    name: str
    metavar: str | None
    help: str
    convert: Callable[[str], Any] = str
    default: Any = None
    many: bool = False
    short: str | None = None
    where: tuple[str, ...] = BOTH

    @property
    def key(self) -> str:
        """Its name as an identifier."""
        return self.name.replace("-", "_")

    @property
    def is_number(self) -> bool:
        """Whether its value is a number."""
        return getattr(self.convert, "makes_number", False)


# -- values ----------------------------------------------------------------------------------


def _numeric(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    """`convert`, marked as one that makes a number: in a TOML file it may be written as one."""
    convert.makes_number = True  # type: ignore[attr-defined]
    return convert


def whole(low: int, high: int) -> Callable[[str], int]:
    """Converter to an int within [low, high]."""

    def convert(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", text) or not low <= int(text) <= high:
            raise UsageError(f"{text!r} will not do: give a whole number from {low} to {high}")
        return int(text)

    return _numeric(convert)


def decimal(low: float, high: float, unit: str) -> Callable[[str], float]:
    """Converter to a float within [low, high]."""

    def convert(text: str) -> float:
        if re.fullmatch(r"[0-9]{0,12}\.?[0-9]{0,6}", text) and text.strip("."):
            if low <= float(text) <= high:
                return float(text)
        raise UsageError(f"{text!r} will not do: give {unit} from {low:g} to {high:g}")

    return _numeric(convert)


def size(low: int, high: int) -> Callable[[str], int]:
    """Converter to a number of bytes within [low, high]; also `500K`, `32M`, `1GiB`."""

    def convert(text: str) -> int:
        match = re.fullmatch(r"([0-9]{1,15})([kmg]?)(i?b)?", text.lower())
        number = int(match[1]) << {"": 0, "k": 10, "m": 20, "g": 30}[match[2]] if match else -1
        if not low <= number <= high:
            raise UsageError(f"{text!r} will not do: give bytes from {low} to {high}, as 500K or 32M")
        return number

    return _numeric(convert)


_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def duration(low: float, high: float) -> Callable[[str], float]:
    """Converter to seconds within [low, high]; also `90s`, `30m`, `12h`, `7d`."""

    def convert(text: str) -> float:
        match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)([smhd]?)", text.lower())
        seconds = float(match[1]) * _UNITS[match[2]] if match else -1.0
        if not low <= seconds <= high:
            raise UsageError(
                f"{text!r} will not do: give seconds from {low:g} to {high:g}, or a time as 30m, 12h or 7d"
            )
        return seconds

    return _numeric(convert)


def one_of(*words: str) -> Callable[[str], str]:
    """Converter that lets these words pass."""

    def convert(text: str) -> str:
        if text not in words:
            raise UsageError(f"{text!r} will not do: give {' or '.join(words)}")
        return text

    return convert


def host(text: str) -> str:
    """A host name, or an IPv6 address in brackets or not; in small letters, brackets taken off."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if len(bare) > 253 or not re.fullmatch(
        r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9])?|[0-9a-f:.]*:[0-9a-f:.]*", bare.lower()
    ):
        raise UsageError(f"{text!r} is no host name: give it without scheme and port, as metafetch.example")
    return bare.lower()


def web_url(text: str) -> str:
    """An http: or https: URL to POST to, in ASCII, without a user name or a fragment in it."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    else:
        if "@" in parts.netloc:
            raise UsageError(
                "a URL with a user name or password in it will not do: sign with a secret instead"
            )
    if not usable or "#" in text or not re.fullmatch(r"[!-~]{1,2048}", text):
        raise UsageError(f"{text!r} is no URL to send to, as https://receiver.example/hook")
    return text


def peer(text: str) -> tuple[str, int]:
    """``HOST:PORT``, ``[IPV6]:PORT``."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise UsageError(f"{text!r} is no HOST:PORT: an IPv6 address has brackets, as [2001:db8::1]:6881")
    if not colon or not host or not re.fullmatch("[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise UsageError(f"{text!r} is no HOST:PORT, as 192.0.2.1:6881 or [2001:db8::1]:6881")
    return host, int(port)


def tracker(text: str) -> str:
    """A tracker URL we can use."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(text)
        usable = bool(parts.hostname) and (parts.scheme != "udp" or parts.port is not None)
    except ValueError:
        usable = False
    else:
        if parts.scheme in ("ws", "wss"):
            raise UsageError(f"{text!r} is for browsers (WebTorrent): give an http:, https: or udp: tracker")
        usable = usable and parts.scheme in ("http", "https", "udp")
    if not usable:
        raise UsageError(
            f"{text!r} is no tracker URL, as http://tracker.example/announce or udp://tracker.example:6969"
        )
    return text


def endpoint(text: str) -> str:
    """Where to listen: ``off``, a port, or a Twisted endpoint description."""
    if text == "off":
        return text
    if re.fullmatch("[0-9]{1,5}", text):
        text = f"tcp:{text}"
    kind, _, rest = text.partition(":")
    port = rest.partition(":")[0].removeprefix("port=")
    if kind in ("tcp", "tcp6") and re.fullmatch("[0-9]{1,5}", port) and int(port) <= 65535:
        return text
    if kind == "systemd" and rest:
        return text
    raise UsageError(f"{text!r} will not do: give tcp:6881, tcp6:6881, tcp:6881:interface=ADDRESS, or off")


def tracker_list(text: str) -> str:
    """Where a list of trackers is: a file's path, or an http: or https: URL."""
    from urllib.parse import urlsplit

    if not text.strip():
        raise UsageError("give a file, or a URL as https://lists.example/trackers.txt")
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        return text
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not re.fullmatch(r"[!-~]{1,2048}", text):
        raise UsageError(
            f"{text!r} is no URL of a list: give a file, or a URL as https://lists.example/trackers.txt"
        )
    return text


def template(text: str) -> str:
    """A file name's template."""
    fields = re.findall(r"\{([^{}]*)\}", text)
    if not fields or set(fields) - {"infohash", "name"} or "/" in text:
        raise UsageError(f"{text!r} will not do: use {{infohash}} or {{name}}, as {{name}}.torrent, no /")
    return text


# -- the table -------------------------------------------------------------------------------

_DAY = 86_400

#: Defaults are those of `limits.DEFAULT_LIMITS`; a test holds them together.
OPTIONS = (
    Option(
        "input",
        "FILE",
        "a magnet or infohash a line ('-': stdin; blank lines and # comments skipped); may repeat",
        many=True,
        short="i",
        where=(COMMAND,),
    ),
    Option(
        "data",
        "DIR",
        "the daemon's own files (default: ./metafetch-data)",
        default="metafetch-data",
        where=(DAEMON,),
    ),
    Option(
        "output",
        "DIR",
        "where .torrent files go (default: .; '-': the one torrent to stdout)",
        default=".",
        short="o",
        where=(COMMAND,),
    ),
    Option(
        "output", "DIR", "where .torrent files go (default: torrents in --data)", short="o", where=(DAEMON,)
    ),
    Option("watch", "DIR", "fetch what .magnet and .txt files put into DIR name", where=(DAEMON,)),
    Option(
        "shard",
        None,
        "put files into folders by infohash, as ab/cd/abcd....torrent",
        default=False,
        where=(DAEMON,),
    ),
    Option(
        "name",
        "TEMPLATE",
        "file name (default: {infohash}.torrent); also {name}, made safe",
        template,
        "{infohash}.torrent",
    ),
    Option("tracker", "URL", "a further tracker for every magnet; may repeat", tracker, many=True),
    Option("save-trackers", None, "write those trackers into the .torrent, too", default=False),
    Option("peer", "HOST:PORT", "a further peer for every magnet; may repeat", peer, many=True),
    Option("jobs", "N", "magnets in exchange at once (default: 200)", whole(1, 100_000), 200),
    Option(
        "timeout",
        "SECONDS",
        "time for one magnet (default: 60)",
        decimal(0.1, 7 * _DAY, "seconds"),
        60.0,
    ),
    Option(
        "linger",
        "SECONDS",
        "wait for peers to call us when all were tried (default: 10)",
        decimal(0, _DAY, "seconds"),
        10.0,
    ),
    Option(
        "listen",
        "ENDPOINT",
        "where peers may connect to us, as tcp:6881 (default: an ephemeral port; 'off'); may repeat",
        endpoint,
        many=True,
    ),
    Option(
        "max-connections",
        "N",
        "connections to peers at once (default: 2000, or what the limit of open files leaves)",
        whole(1, 1_000_000),
    ),
    Option(
        "dial-rate",
        "N",
        "new connections a second (default: unlimited)",
        decimal(0.01, 1_000_000, "a number"),
    ),
    Option(
        "max-metadata",
        "BYTES",
        "largest metadata taken, as 500K or 32M (default: 32M)",
        size(1024, 1 << 30),
        32 << 20,
    ),
    Option(
        "allow-local",
        None,
        "allow loopback, private and link-local trackers and peers (default: refused, and said so)",
        default=False,
    ),
    Option("no-dht", None, "do not use the DHT, where peers are found without trackers", default=False),
    Option(
        "dht-bootstrap",
        "HOST:PORT",
        "a DHT node to begin with, instead of the well-known ones; may repeat",
        peer,
        many=True,
    ),
    Option(
        "dht-read-only",
        None,
        "ask DHT nodes, but answer none (where few queries may come in, or none can)",
        default=False,
    ),
    Option(
        "dht-rate",
        "N",
        "DHT queries a second (default: 250)",
        decimal(1, 100_000, "a number"),
        250.0,
    ),
    Option("lsd", None, "look for peers on the local network (LSD)", default=False, where=(COMMAND,)),
    Option("no-lsd", None, "do not look for peers on the local network", default=False, where=(DAEMON,)),
    Option(
        "web-sources",
        None,
        "try the .torrent files on the web that a magnet names (xs, as, ws), too",
        default=False,
    ),
    Option(
        "extra-trackers",
        "FILE|URL",
        "a list of further trackers for magnets that are not private (a URL is read once a day)",
        tracker_list,
    ),
    Option(
        "give-up-after",
        "TIME",
        "how long a magnet that fails is tried again, in seconds or as 12h, 7d (default: 7d)",
        duration(0, 3650 * _DAY),
        7.0 * _DAY,
        where=(DAEMON,),
    ),
    Option(
        "http",
        "ENDPOINT",
        "where page and HTTP API listen (default: tcp:9667:interface=127.0.0.1; 'off')",
        endpoint,
        "tcp:9667:interface=127.0.0.1",
        where=(DAEMON,),
    ),
    Option(
        "http-host",
        "NAME",
        "a further name under which browsers reach the page; may repeat",
        host,
        many=True,
        where=(DAEMON,),
    ),
    Option(
        "token-file",
        "FILE",
        "the token that page and API ask for (made when missing; needed where --http is not loopback)",
        where=(DAEMON,),
    ),
    Option(
        "on-fetched",
        "URL",
        "POST each result to URL as JSON, again and again until it is taken",
        web_url,
        where=(DAEMON,),
    ),
    Option(
        "on-fetched-secret-file",
        "FILE",
        "sign what is sent to --on-fetched with the secret in FILE (HMAC-SHA256)",
        where=(DAEMON,),
    ),
    Option(
        "log-format",
        "FORMAT",
        "text, or json: an object a line (default: text)",
        one_of("text", "json"),
        "text",
        where=(DAEMON,),
    ),
    Option(
        "config",
        "FILE",
        "read options from FILE (TOML), after the command line and METAFETCH_* variables",
        where=(DAEMON,),
    ),
    Option("failed", "FILE", "write the magnets that failed to FILE, ready for -i", where=(COMMAND,)),
    Option(
        "json",
        None,
        "one JSON object a line on stdout for each magnet as it ends",
        default=False,
        where=(COMMAND,),
    ),
    Option("quiet", None, "no progress", default=False, short="q", where=(COMMAND,)),
)


def options_of(place: str) -> list[Option]:
    """The options of COMMAND or of DAEMON."""
    return [option for option in OPTIONS if place in option.where]


# -- what is built from it -------------------------------------------------------------------


def defaults(place: str) -> dict[str, Any]:
    """What each option of COMMAND or of DAEMON is where it is not given, by name."""
    return {option.name: [] if option.many else option.default for option in options_of(place)}


def add_arguments(parser: ArgumentParser, place: str = COMMAND, only: Container[str] | None = None) -> None:
    """Put the table's options, or those of them that are named in `only`, into an argparse parser.

    Wrong values raise UsageError.
    """
    for option in options_of(place):
        if only is not None and option.name not in only:
            continue
        flags = [f"--{option.name}"] if option.short is None else [f"-{option.short}", f"--{option.name}"]
        text = option.help.replace("%", "%%")
        if option.metavar is None:
            parser.add_argument(*flags, action="store_true", help=text)
        else:
            parser.add_argument(
                *flags,
                metavar=option.metavar,
                help=text,
                type=_named(option),
                action="append" if option.many else "store",
                default=[] if option.many else option.default,
            )


def _named(option: Option) -> Callable[[str], Any]:
    """The option's converter, its errors led by the option's name."""

    def convert(text: str) -> Any:
        try:
            return option.convert(text)
        except UsageError as error:
            raise UsageError(f"--{option.name}: {error}") from None

    return convert


def twisted_options(place: str = DAEMON) -> type[Any]:
    """A `twisted.python.usage.Options` class with the table's options.

    Values are found by the options' names; those that may repeat are lists. `given` are the names of
    those that the command line gave a value.
    """
    from twisted.python import usage

    def taker(option: Option) -> Callable[[Any, str], None]:
        # A method, because errors of a `coerce` function are shown behind words of twisted's own.
        def take(self: Any, text: str) -> None:
            try:
                value = _named(option)(text)
            except UsageError as error:
                raise usage.UsageError(str(error)) from None
            self.given.add(option.name)
            if option.many:
                self[option.name].append(value)
            else:
                self[option.name] = value

        take.__doc__ = option.help
        return take

    def init(self: Any) -> None:
        usage.Options.__init__(self)
        self.given = set()
        for option in options_of(place):
            if option.metavar is not None:
                self[option.name] = [] if option.many else option.default

    members: dict[str, Any] = {"__init__": init, "optFlags": []}
    for option in options_of(place):
        if option.metavar is None:
            members["optFlags"].append([option.name, option.short, option.help])
        else:
            members["opt_" + option.key] = taker(option)
            if option.short is not None:
                members["opt_" + option.short] = taker(option)
    return type("TableOptions", (usage.Options,), members)


def fetch_settings(values: Mapping[str, Any]) -> FetchSettings:
    """The fetcher's settings of parsed options (by the options' names, dashes and all).

    Raises UsageError for options that do not fit together.
    """
    from functorrent.fetch.settings import FetchSettings

    listen = tuple(values["listen"])
    if "off" in listen and len(listen) > 1:
        raise UsageError("--listen: 'off' goes with no other --listen: give one or the other")
    if values["save-trackers"] and not values["tracker"]:
        raise UsageError("--save-trackers: there is nothing to save: give a --tracker, too")
    return FetchSettings(
        jobs=values["jobs"],
        timeout=values["timeout"],
        linger=values["linger"],
        listen=listen,
        max_connections=values["max-connections"],
        dial_rate=values["dial-rate"],
        max_metadata=values["max-metadata"],
        allow_local=bool(values["allow-local"]),
        trackers=tuple(values["tracker"]),
        save_trackers=bool(values["save-trackers"]),
        peers=tuple(values["peer"]),
    )


def check_daemon(values: Mapping[str, Any]) -> None:
    """Raises UsageError for options of the daemon that do not fit together."""
    if values["on-fetched-secret-file"] is not None and values["on-fetched"] is None:
        raise UsageError("--on-fetched-secret-file: there is nothing to sign: give --on-fetched, too")
