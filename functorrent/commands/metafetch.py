"""The daemon put together: its parts, who tells whom, and in which order they start and stop."""

from __future__ import annotations

import os
import secrets
import socket
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from functorrent import __version__
from functorrent.commands.console import raise_file_limit
from functorrent.commands.sources import from_anywhere, source_makers
from functorrent.daemon.collector import calm_collector
from functorrent.daemon.exporter import Exporter
from functorrent.daemon.health import Health
from functorrent.daemon.intake import GivenMagnets
from functorrent.daemon.library import Library
from functorrent.daemon.life import Daemon, Part
from functorrent.daemon.logs import LoggedService, log_ended, plan
from functorrent.daemon.outlets import Outlets, discover_outlets
from functorrent.daemon.queue import JobQueue
from functorrent.daemon.reload import Reload
from functorrent.daemon.systemd import Systemd
from functorrent.daemon.telemetry import Telemetry
from functorrent.daemon.threads import FileThreads
from functorrent.daemon.watch import WatchFolder
from functorrent.daemon.webhook import Webhook, read_secret
from functorrent.errors import OutputError
from functorrent.fetch.fetcher import Fetcher
from functorrent.store.database import Database
from functorrent.store.files import TorrentFolder

if TYPE_CHECKING:
    from functorrent.daemon.interfaces import IIntake, IOutlet, IQueue
    from functorrent.interfaces import IWallClock

#: The store, in --data.
STORE = "metafetch.sqlite"
#: The word that temporary files in --output bear, in --data.
_OWNER = "output-owner"


class Composition:
    """Everything of one daemon.

    `reactor`: with a monotonic `seconds`. `values`: parsed options, with ``settings`` and ``magnets``.
    `gave_up(words)` is called where the daemon cannot be started. `environ`: for systemd. `server`: the
    options of twistd, where that runs us. Raises UsageError and OutputError, where folders or files
    cannot be used; nothing is started by then, and no thread or socket is there.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        wall: IWallClock,
        values: Mapping[str, Any],
        gave_up: Callable[[str], None],
        environ: Mapping[str, str],
        server: Mapping[str, Any] | None = None,
    ) -> None:
        self._reactor = reactor
        self._wall = wall
        self._values = values
        self._gave_up = gave_up
        # Absolute: a daemonized twistd goes to --rundir before it starts us.
        self._data = os.path.abspath(values["data"])
        owner = _owner(self._data)
        output = os.path.abspath(values["output"] or os.path.join(self._data, "torrents"))
        folder = TorrentFolder(output, values["name"], shard=bool(values["shard"]), owner=owner)
        # Made here, while the umask is still the user's: a daemonized twistd sets 077.
        folder.prepare()
        self._logs = plan(values["log-format"], server, sys.stdout)
        raise_file_limit()

        self.worker = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self.health = Health()
        self.store = Database(reactor, wall, os.path.join(self._data, STORE))
        self.telemetry = Telemetry(reactor, wall, self.store, __version__)
        self._library = Library(reactor, self.store)
        makers = source_makers(from_anywhere(values), self._data, wall, lsd=not values["no-lsd"])
        self.fetcher = Fetcher(reactor, values["settings"], sources=makers, library=self._library)
        self._files = FileThreads(reactor, "functorrent files")
        self.exporter = Exporter(reactor, self.store, folder, self.health, self._files.run)
        give_up_after = values["give-up-after"]
        self.outlets = Outlets(
            reactor, wall, self.store, self._find_outlets(), give_up_after, self.telemetry.delivery
        )  # fmt: skip
        self.queue = JobQueue(
            reactor,
            wall,
            self.store,
            self.fetcher,
            self.health,
            self.worker,
            give_up_after=give_up_after,
            outlets=self.outlets.names,
            saved=self.exporter.wake,
            ended=self._ended,
        )
        self._library.called = self.queue.called
        serving = self.fetcher.serving
        self.telemetry.watch_fetcher(self.fetcher)
        self.telemetry.watch_serving(
            lambda: serving.blocks, lambda: serving.bytes, lambda: serving.connections
        )
        self.systemd = Systemd(reactor, environ, os.getpid(), self.telemetry.status, self.store.counts)
        self.daemon = Daemon(reactor, self._parts(), gave_up, self._ready)

    def service(self) -> LoggedService:
        """All of it, to be started. Systemd hears first that we stop."""
        services: Any = LoggedService(self._logs)
        services.addService(self.daemon)
        # Without it SIGHUP would end us at once; that of a terminal which is gone ends us in order.
        stop = self._reactor.stop if self._logs.terminal else None
        services.addService(Reload(self._reactor, self._reload, stop))
        services.addService(self.systemd)
        logged: LoggedService = services
        return logged

    def _ready(self) -> None:
        self.systemd.ready()
        # What was imported and made by now stays.
        calm_collector()

    def _find_outlets(self) -> list[IOutlet]:
        """The webhook, where one is wanted, and those of plugins."""
        found: list[IOutlet] = []
        url, secret = self._values["on-fetched"], self._values["on-fetched-secret-file"]
        if url is not None:
            key = None if secret is None else read_secret(secret)
            found.append(Webhook(self._reactor, self._wall, url, key, __version__))
        try:
            found += discover_outlets()
        except Exception:
            self.log.failure("plugins could not be looked up")
        return found

    def _reload(self) -> None:
        """SIGHUP. Raises OSError where the log file cannot be opened again."""
        file = self._logs.file
        self.systemd.reload(file.reopen if file is not None else lambda: None)

    def _ended(self, *what: Any) -> None:
        self.telemetry.ended(*what)
        log_ended(*what)

    # -- parts ---------------------------------------------------------------------------------

    def _parts(self) -> list[Part]:
        parts = [
            Part("store", self._open, self.store.close, 3.0),
            _part(self.telemetry),
            Part("files", lambda: None, self._files.stop),
            _part(self.exporter),
            _part(self.queue, 7.0),
            Part("DHT", self.telemetry.dht.start, self.telemetry.dht.stop),
            _part(self.outlets, 3.5),
        ]
        if self._values["http"] != "off":
            parts.append(self._intake(self._http(self._values["http"]), 4.0))
        if self._values["watch"] is not None:
            threads = FileThreads(self._reactor, "functorrent watch")
            path = os.path.abspath(self._values["watch"])
            parts.append(Part("watch threads", lambda: None, threads.stop))
            parts.append(self._intake(WatchFolder(self._reactor, self._wall, self.health, path, threads.run)))
        if self._values["magnets"]:
            parts.append(self._intake(GivenMagnets(self._reactor, self.health, self._values["magnets"])))
        return parts

    async def _open_store(self) -> None:
        await self.store.open()
        # The store's lock is ours, so nobody else who has a job is alive.
        await self.store.release_others(self.worker)
        await self.telemetry.seed()

    def _open(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._open_store())

    def _intake(self, intake: IIntake, patience: float = 1.0) -> Part:
        return Part(intake.name, lambda: intake.start(self.queue), intake.stop, patience)

    def _http(self, endpoint: str) -> IIntake:
        """The HTTP side, whose libraries are loaded only where it is wanted."""
        from functorrent.web.context import WebContext
        from functorrent.web.intake import HttpIntake
        from functorrent.web.metrics import render
        from functorrent.web.page.routes import page_routes
        from functorrent.web.service import HttpService
        from functorrent.web.site import make_site
        from functorrent.web.token import load_token

        path = self._values["token-file"]
        # Read now: what is wrong with it is said before anything is begun.
        token = None if path is None else load_token(path)

        def make(queue: IQueue) -> HttpService:
            context = WebContext(
                clock=self._reactor,
                wall=self._wall,
                store=self.store,
                queue=queue,
                version=__version__,
                token=token,
                hosts=self._values["http-host"],
                health=self.health.sentences,
                in_flight=lambda: self.queue.in_flight,
                dht=self.telemetry.dht.told,
                minutes=self.telemetry.minutes,
                metrics=lambda: render(self.telemetry)[0],
                pages=[page_routes],
                answered=self.telemetry.answered,
            )
            return HttpService(self._reactor, endpoint, make_site(context), self._gave_up)

        return HttpIntake(make)


def _part(service: Any, patience: float = 1.0) -> Part:
    return Part(service.name, service.startService, service.stopService, patience)


def _owner(data: str) -> str:
    """The daemon's own word, kept in its data folder, which is made. Raises OutputError."""
    path = os.path.join(data, _OWNER)
    try:
        os.makedirs(data, exist_ok=True)
        try:
            with open(path, encoding="ascii") as file:
                word = file.read(64).strip()
            if word.isalnum():
                return word
        except (FileNotFoundError, UnicodeDecodeError):
            pass
        word = secrets.token_hex(8)
        with open(path, "w", encoding="ascii") as file:
            file.write(word + "\n")
    except OSError as error:
        raise OutputError(f"--data {data}: cannot be written: {error.strerror}") from None
    return word
