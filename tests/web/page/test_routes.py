from __future__ import annotations

import re
from types import SimpleNamespace

from klein import Klein
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Site

from functorrent.web.page.routes import CONTENT_SECURITY_POLICY, page_routes


class RouteTests(SynchronousTestCase):
    def setUp(self) -> None:
        app = Klein()
        page_routes(app, SimpleNamespace(version="1.2<3"))
        self.site = Site(app.resource())

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers by their names in small letters, body."""
        protocol, transport = self.site.buildProtocol(None), StringTransport()
        protocol.makeConnection(transport)
        lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        protocol.dataReceived("\r\n".join([*lines, "", ""]).encode())
        head, _, body = transport.value().partition(b"\r\n\r\n")
        first, *rest = head.decode().split("\r\n")
        found = dict(line.split(": ", 1) for line in rest)
        return int(first.split()[1]), {name.lower(): value for name, value in found.items()}, body

    def test_the_page(self) -> None:
        status, headers, body = self.ask("/")
        self.assertEqual(status, 200)
        self.assertEqual(headers["content-type"], "text/html; charset=utf-8")
        self.assertEqual(headers["content-length"], str(len(body)))
        self.assertIn(b'<span class="version">1.2&lt;3<span', body)
        self.assertNotIn(b"$", body)

    def test_everything_it_names_is_served(self) -> None:
        _, _, body = self.ask("/")
        names = set(re.findall(r'(?:href|src)="(/page/[^"]+)"', body.decode()))
        self.assertLess({"/page/app.js", "/page/app.css", "/page/icon.svg", "/page/list.js"}, names)
        for name in names:
            status, headers, _ = self.ask(name)
            self.assertEqual(status, 200, name)
            kind = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}[
                name.rpartition(".")[2]
            ]
            self.assertTrue(headers["content-type"].startswith(kind), headers)

    def test_headers(self) -> None:
        for path in ("/", "/page/app.js"):
            _, headers, _ = self.ask(path)
            self.assertEqual(headers["content-security-policy"], CONTENT_SECURITY_POLICY)
            self.assertEqual(headers["x-content-type-options"], "nosniff")
            self.assertEqual(headers["x-frame-options"], "DENY")
            self.assertEqual(headers["referrer-policy"], "no-referrer")
            self.assertEqual(headers["cache-control"], "no-cache")

    def test_what_the_browser_has_is_not_sent_again(self) -> None:
        for path in ("/", "/page/app.css"):
            _, headers, _ = self.ask(path)
            status, again, body = self.ask(path, If_None_Match=headers["etag"])
            self.assertEqual((status, body, again["etag"]), (304, b"", headers["etag"]))
            status, _, body = self.ask(path, If_None_Match='"another"')
            self.assertEqual(status, 200)
            self.assertTrue(body)

    def test_head(self) -> None:
        status, headers, body = self.ask("/page/app.js", "HEAD")
        self.assertEqual((status, body), (200, b""))
        self.assertGreater(int(headers["content-length"]), 1000)

    def test_nothing_else_is_read(self) -> None:
        """Names are looked up, never opened."""
        for name in (
            "shell.html",
            "..%2froutes.py",
            "..%2F..%2Ferrors.py",
            "%2e%2e",
            "none.js",
            "APP.JS",
            "%00",
        ):
            status, headers, body = self.ask(f"/page/{name}")
            self.assertEqual(status, 404, name)
            self.assertNotIn(b"import", body)
            self.assertTrue(headers["content-type"].startswith("text/"))

    def test_posts_are_refused(self) -> None:
        self.assertEqual(self.ask("/", "POST")[0], 405)
