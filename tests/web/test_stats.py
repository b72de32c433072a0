"""Stats, health, readiness, metrics, and the OpenAPI document."""

from __future__ import annotations

import re
from typing import Any

from klein import Klein
from twisted.internet.defer import fail

from functorrent.errors import StoreLocked
from functorrent.web.context import WebContext
from functorrent.web.openapi import document
from tests.web.bed import WebTestCase, infohash


class StatsTests(WebTestCase):
    def test_stats(self) -> None:
        self.submit(infohash(1), infohash(2))
        self.claim(infohash(1))
        minute = {"at": "2026-11-24T15:00:00.000Z", "fetched": 1, "failed": 2, "gave_up": 3}
        self.make_site(minutes=lambda: [minute], in_flight=lambda: 7)
        self.clock.advance(90)
        told = self.ask("GET", "/api/v1/stats").json
        self.assertEqual(
            told["jobs"],
            {"queued": 1, "fetching": 1, "waiting": 0, "fetched": 0, "gave_up": 0, "cancelled": 0},
        )
        self.assertEqual((told["version"], told["in_flight"], told["minutes"]), ("1.2.3", 7, [minute]))
        self.assertEqual(told["started"][:17], "2026-09-21T14:13:")
        self.assertGreater(told["now"], told["started"])

    def test_the_dht(self) -> None:
        self.assertIsNone(self.ask("GET", "/api/v1/stats").json["dht"])
        self.make_site(dht=lambda: {"nodes": 152})
        self.assertEqual(self.ask("GET", "/api/v1/stats").json["dht"], {"nodes": 152})

    def test_health(self) -> None:
        self.store.counts = lambda: fail(StoreLocked("another process has it"))  # type: ignore[method-assign]
        self.make_site(health=lambda: ["The queue stands still."])
        self.assertEqual(self.ask("GET", "/healthz").json, {"status": "ok"})
        answer = self.ask("GET", "/readyz")
        self.problem(answer, 503, "The queue stands still. The store does not answer: another process has it")
        self.assertIn("retry-after", answer.headers)

    def test_why_it_is_not_ready_is_not_for_everybody(self) -> None:
        self.make_site(health=lambda: ["/data is full."], token="a-token-of-the-tests")
        told = self.problem(self.ask("GET", "/readyz"), 503, "with its token")
        self.assertNotIn("/data", told["detail"])
        headers = {"Authorization": "Bearer a-token-of-the-tests"}
        self.problem(self.ask("GET", "/readyz", headers=headers), 503, "/data is full.")

    def test_ready(self) -> None:
        self.assertEqual(self.ask("GET", "/readyz").json, {"status": "ready"})

    def test_metrics(self) -> None:
        self.problem(self.ask("GET", "/metrics"), 404)
        self.make_site(metrics=lambda: b"up 1\n")
        answer = self.ask("GET", "/metrics")
        self.assertEqual((answer.body, answer.headers["content-type"][:10]), (b"up 1\n", "text/plain"))

    def test_answers_are_counted_by_route(self) -> None:
        counted: list[tuple[str, str, int]] = []
        self.make_site(answered=lambda *what: counted.append(what), metrics=lambda: b"")
        for method, path in (
            ("GET", "/healthz"), ("GET", "/metrics?x=y"), ("GET", "/no/such/path"), ("DELETE", "/metrics"),
            ("GET", f"/api/v1/magnets/{infohash(1)}"), ("GET", "//"), ("GET", "/%ff"),
        ):  # fmt: skip
            self.ask(method, path)
        self.assertEqual(
            counted,
            [
                ("GET", "/healthz", 200), ("GET", "/metrics", 200), ("GET", "-", 404), ("DELETE", "-", 405),
                ("GET", "/api/v1/magnets/{infohash}", 404), ("GET", "-", 404), ("GET", "-", 404),
            ],
        )  # fmt: skip

    def test_pages(self) -> None:
        def pages(app: Klein, context: WebContext) -> None:
            @app.route("/", methods=["GET"])
            def page(request: Any) -> None:
                request.send(context.version.encode(), b"text/html; charset=utf-8")

        self.make_site(pages=[pages], token="a-token-of-the-tests")
        answer = self.ask("GET", "/")
        self.assertEqual((answer.status, answer.body), (200, b"1.2.3"))
        self.assertIn("script-src 'self'", answer.headers["content-security-policy"])


class OpenAPITests(WebTestCase):
    def test_it_is_served(self) -> None:
        told = self.ask("GET", "/openapi.json").json
        self.assertEqual(told, document("1.2.3"))
        self.assertEqual(told["info"]["version"], "1.2.3")

    def test_it_has_every_route_and_no_other(self) -> None:
        app = self.site.resource._app
        routes = {
            (re.sub(r"<(\w+)>", r"{\1}", rule.rule), method.lower())
            for rule in app.url_map.iter_rules()
            for method in rule.methods - {"HEAD"}
        }
        told = {
            (path, method)
            for path, item in document("")["paths"].items()
            for method in item
            if method != "parameters"
        }
        self.assertEqual(told, routes)

    def test_every_reference_has_its_schema(self) -> None:
        whole = document("")
        names = set(re.findall(r"'#/components/schemas/(\w+)'", repr(whole)))
        self.assertEqual(names, set(whole["components"]["schemas"]))

    def test_a_job_has_the_keys_of_its_schema(self) -> None:
        key = self.fetch()
        schemas = document("")["components"]["schemas"]
        self.assertEqual(
            set(self.ask("GET", f"/api/v1/magnets/{key}").json), set(schemas["JobWithReport"]["required"])
        )
        [job] = self.ask("GET", "/api/v1/magnets").json["magnets"]
        self.assertEqual(set(job), set(schemas["Job"]["required"]))
        self.assertEqual(set(self.ask("GET", "/api/v1/stats").json), set(schemas["Stats"]["required"]))
