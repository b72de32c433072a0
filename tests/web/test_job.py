"""One magnet: read, waited for, cancelled, tried again."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail

from functorrent.errors import QueueClosed
from tests.web.bed import Connection, WebTestCase, infohash, request_bytes

PATH = "/api/v1/magnets"
KEYS = {
    "magnet", "source", "line", "infohash", "infohash_v2", "status", "file", "cached", "name", "size",
    "files", "private", "seconds", "priority", "attempts", "added", "updated", "next_attempt", "report",
}  # fmt: skip


class JobTests(WebTestCase):
    def test_one(self) -> None:
        key = self.fetch()
        job = self.ask("GET", f"{PATH}/{key.upper()}").json
        self.assertEqual(set(job), KEYS)
        self.assertEqual((job["infohash"], job["status"], job["report"]["reason"]), (key, "fetched", None))
        self.assertTrue(job["added"].endswith("Z"))

    def test_a_failed_one(self) -> None:
        [key] = self.submit(infohash(1))
        self.fail_try(key, "nobody answered")
        job = self.ask("GET", f"{PATH}/{key}").json
        self.assertEqual((job["status"], job["report"]["reason"]), ("waiting", "nobody answered"))
        self.assertIsNotNone(job["next_attempt"])

    def test_v2_and_hybrids(self) -> None:
        v2 = "cd" * 32
        self.submit(
            f"magnet:?xt=urn:btmh:1220{'ab' * 32}", f"magnet:?xt=urn:btih:{infohash(1)}&xt=urn:btmh:1220{v2}"
        )
        self.assertIsNone(self.ask("GET", f"{PATH}/{'ab' * 32}").json["infohash"])
        self.assertEqual(self.ask("GET", f"{PATH}/{v2}").json["infohash"], infohash(1))
        self.assertEqual(self.ask("DELETE", f"{PATH}/{v2}").json["status"], "cancelled")
        self.assertEqual(self.ask("POST", f"{PATH}/{v2}/retry").json["status"], "queued")

    def test_none(self) -> None:
        for path in (infohash(1), "ab" * 32):
            for method, more in (
                ("GET", ""),
                ("DELETE", ""),
                ("POST", "/retry"),
                ("GET", "/files"),
                ("GET", "/torrent"),
            ):
                self.problem(self.ask(method, f"{PATH}/{path}{more}"), 404, "No magnet")
        for path in ("x", "a" * 39, "g" * 40, "a" * 63, "%20" * 40, "\u0661" * 40):
            answer = self.ask(
                "GET", f"{PATH}/{path}".encode().decode("latin-1") if path.isascii() else f"{PATH}/x"
            )
            self.problem(answer, 404, "hex digits")

    def test_cancelled_however_often(self) -> None:
        [key] = self.submit(infohash(1))
        for _ in range(2):
            answer = self.ask("DELETE", f"{PATH}/{key}")
            self.assertEqual((answer.status, answer.json["status"]), (200, "cancelled"))
        told = self.ask("POST", PATH, key.encode(), {"Content-Type": "text/plain"}).json
        self.assertEqual(told["accepted"][0]["status"], "queued")

    def test_a_fetched_one_stays(self) -> None:
        key = self.fetch()
        self.assertEqual(self.ask("DELETE", f"{PATH}/{key}").json["status"], "fetched")
        self.assertEqual(self.ask("POST", f"{PATH}/{key}/retry").json["status"], "fetched")

    def test_retry(self) -> None:
        [key] = self.submit(infohash(1))
        self.fail_try(key, again=None)
        self.assertEqual(self.ask("GET", f"{PATH}/{key}").json["status"], "gave_up")
        self.assertEqual(self.ask("POST", f"{PATH}/{key}/retry").json["status"], "queued")

    def test_while_it_stops(self) -> None:
        [key] = self.submit(infohash(1))
        self.queue.cancel = lambda key: fail(QueueClosed("stopping"))
        self.problem(self.ask("DELETE", f"{PATH}/{key}"), 503, "stopping")


class WaitTests(WebTestCase):
    def wait(self, key: str, seconds: str = "10") -> Connection:
        connection = self.connect()
        connection.send(request_bytes("GET", f"{PATH}/{key}?wait={seconds}"))
        return connection

    def status(self, connection: Connection) -> str:
        [answer] = connection.answers()
        status: str = answer.json["status"]
        return status

    def test_until_it_is_fetched(self) -> None:
        [key] = self.submit(infohash(1))
        waiting = self.wait(key)
        self.claim(key)
        self.assertEqual(waiting.received, b"", "fetching is not the end")
        self.store.failed("tests", bytes.fromhex(key), {"reason": "no"}, 1.0, self.wall.now() + 60)
        self.assertEqual(self.status(waiting), "waiting")
        self.assertEqual(waiting.answers()[0].json["report"], {"reason": "no"})
        self.assertEqual(
            self.clock.getDelayedCalls(), [call for call in self.clock.getDelayedCalls() if call.active()]
        )
        waiting.hang_up()

    def test_time_is_up(self) -> None:
        [key] = self.submit(infohash(1))
        waiting = self.wait(key)
        self.clock.advance(9.9)
        self.assertEqual(waiting.received, b"")
        self.clock.advance(0.1)
        self.assertEqual(self.status(waiting), "queued")

    def test_at_once(self) -> None:
        for key in (self.fetch(), infohash(1)):
            self.assertEqual(len(self.wait(key).answers()), 1)
        [key] = self.submit(infohash(2))
        self.assertEqual(self.status(self.wait(key, "0")), "queued")

    def test_by_the_other_infohash_of_a_hybrid(self) -> None:
        v2 = "cd" * 32
        [key] = self.submit(f"magnet:?xt=urn:btih:{infohash(1)}&xt=urn:btmh:1220{v2}")
        waiting = self.wait(v2)
        self.ask("DELETE", f"{PATH}/{key}")
        self.assertEqual(self.status(waiting), "cancelled")

    def test_it_changes_between_reading_and_waiting(self) -> None:
        [key] = self.submit(infohash(1))
        read, reading = self.store.job, []

        def slow(key: bytes) -> Any:
            reading.append(Deferred())
            answer = read(key)
            return reading[-1].addCallback(lambda _: answer)

        self.store.job = slow  # type: ignore[method-assign]
        waiting = self.wait(key)
        self.successResultOf(self.store.cancel(bytes.fromhex(key)))
        for _ in range(2):
            reading.pop().callback(None)
        self.assertEqual(self.status(waiting), "cancelled")

    def test_they_are_bounded_and_leave_when_the_client_does(self) -> None:
        self.make_site({"web_waiters": 2})
        [key] = self.submit(infohash(1))
        first, second = self.wait(key), self.wait(key)
        self.problem(self.wait(key).answers()[0], 429, "wait")
        first.hang_up()
        third = self.wait(key)
        self.assertEqual(third.received, b"")
        self.ask("DELETE", f"{PATH}/{key}")
        self.assertEqual([self.status(second), self.status(third)], ["cancelled"] * 2)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_wrong_ones(self) -> None:
        for seconds in ("61", "-1", "x", "", "1.5", "1e1", "nan"):
            self.problem(self.wait(infohash(1), seconds).answers()[0], 400, "from 0 to 60")
