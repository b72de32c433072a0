"""GET /api/v1/events: streams that resume, fall behind, are heard of, and end."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred, fail

from functorrent.errors import StoreError
from tests.web.bed import Connection, WebTestCase, infohash, read_answers, request_bytes

PATH = "/api/v1/events"


class EventTests(WebTestCase):
    def open(self, last: str | None = None) -> Connection:
        connection = self.connect()
        connection.send(request_bytes("GET", PATH, headers={} if last is None else {"Last-Event-ID": last}))
        return connection

    def events(self, connection: Connection) -> list[tuple[str, str, Any]]:
        """(event, id, data) of each event so far."""
        [answer] = read_answers(connection.received)
        found = []
        for block in answer.body.decode().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
            if "event" in fields:
                found.append((fields["event"], fields["id"], json.loads(fields["data"])))
        return found

    def jobs(self, connection: Connection) -> list[tuple[str, str]]:
        """(id, infohash) of each job event, with resets as ("id", "reset")."""
        return [
            (number, "reset" if event == "reset" else data["infohash"])
            for event, number, data in self.events(connection)
            if event != "stats"
        ]

    def settle(self) -> None:
        self.clock.pump([0.06, 0, 0, 0, 0, 0])

    def test_a_stream(self) -> None:
        stream = self.open()
        [answer] = read_answers(stream.received)
        self.assertEqual(answer.headers["content-type"], "text/event-stream")
        self.assertEqual(answer.headers["x-accel-buffering"], "no")
        self.assertEqual(answer.body, b"retry: 3000\n\n")
        self.submit(infohash(1), infohash(2))
        self.settle()
        self.assertEqual(self.jobs(stream), [("b007-1", infohash(1)), ("b007-2", infohash(2))])
        [job] = [data for event, _, data in self.events(stream) if event == "job"][:1]
        self.assertEqual(job["status"], "queued")
        self.assertNotIn("report", job)

    def test_what_was_before_is_not_told(self) -> None:
        self.submit(infohash(1))
        stream = self.open()
        self.submit(infohash(2))
        self.settle()
        self.assertEqual(self.jobs(stream), [("b007-2", infohash(2))])

    def test_stats_at_once_and_at_most_once_a_second(self) -> None:
        stream = self.open()
        self.settle()
        for number in range(20):
            self.submit(infohash(number))
            self.clock.advance(0.1)
        self.clock.advance(1.0)
        stats = [data for event, _, data in self.events(stream) if event == "stats"]
        self.assertEqual([one["jobs"]["queued"] for one in stats], [0, 10, 20])
        self.assertEqual(set(stats[0]), {"version", "started", "now", "jobs", "in_flight", "dht"})
        self.clock.pump([1.0] * 5)
        self.assertEqual(
            len([1 for event, _, _ in self.events(stream) if event == "stats"]), 3, "nothing changed"
        )

    def test_a_change_while_the_store_is_asked(self) -> None:
        stream = self.open()
        self.settle()
        counts, waiting = self.store.counts, []

        def slow() -> Any:
            waiting.append(Deferred())
            return waiting[-1].addCallback(lambda _: counts())

        self.store.counts = slow  # type: ignore[method-assign]
        self.submit(infohash(1))
        self.clock.pump([1.0] * 3)
        self.assertEqual(len(waiting), 1)
        self.submit(infohash(2))
        waiting.pop().callback(None)
        self.clock.pump([1.0] * 2)
        waiting.pop().callback(None)
        self.settle()
        stats = [data for event, _, data in self.events(stream) if event == "stats"]
        self.assertEqual(stats[-1]["jobs"]["queued"], 2)

    def test_the_store_does_not_answer(self) -> None:
        self.store.counts = lambda: fail(StoreError("gone"))  # type: ignore[method-assign]
        stream = self.open()
        self.submit(infohash(1))
        self.clock.pump([1.0] * 3)
        self.assertEqual(self.jobs(stream), [("b007-1", infohash(1))])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_resumed(self) -> None:
        self.submit(*map(infohash, range(5)))
        stream = self.open("b007-3")
        self.settle()
        self.assertEqual(self.jobs(stream), [("b007-4", infohash(3)), ("b007-5", infohash(4))])
        self.assertEqual(self.jobs(self.up_to_date("b007-5")), [])

    def up_to_date(self, last: str) -> Connection:
        stream = self.open(last)
        self.settle()
        return stream

    def test_reset(self) -> None:
        self.submit(*map(infohash, range(3)))
        for last in (
            "b008-1",
            "b007-4",
            "x",
            "",
            "-",
            "b007-",
            "b007-x",
            "b007-99999999999999999999",
            "b007-\u0663",
        ):
            stream = self.up_to_date(last)
            self.assertEqual(self.jobs(stream), [("b007-3", "reset")], last)
        self.submit(infohash(9))
        self.settle()
        self.assertEqual(self.jobs(stream), [("b007-3", "reset"), ("b007-4", infohash(9))])

    def test_the_log_is_bounded(self) -> None:
        self.make_site({"web_events": 10})
        self.submit(*map(infohash, range(25)))
        self.assertEqual(self.jobs(self.up_to_date("b007-15"))[0], ("b007-16", infohash(15)))
        self.assertEqual(self.jobs(self.up_to_date("b007-14")), [("b007-25", "reset")])

    def test_the_log_is_bounded_in_bytes(self) -> None:
        self.make_site({"web_event_text": 5000})
        for number in range(10):
            self.submit(f"magnet:?xt=urn:btih:{infohash(number)}&tr=" + "x" * 900)
        self.assertEqual(len(self.jobs(self.up_to_date("b007-5"))), 5)
        self.assertEqual(self.jobs(self.up_to_date("b007-4")), [("b007-10", "reset")])

    def test_a_flood_is_one_reset(self) -> None:
        self.make_site({"web_stream_backlog": 100})
        stream = self.open()
        self.settle()
        self.submit(*map(infohash, range(101)))
        self.settle()
        self.assertEqual(self.jobs(stream), [("b007-101", "reset")])

    def test_many_in_turns(self) -> None:
        first, second = self.open(), self.open()
        self.submit(*map(infohash, range(500)))
        self.clock.pump([0.06] + [0.0] * 30)
        for stream in (first, second):
            self.assertEqual([key for _, key in self.jobs(stream)], list(map(infohash, range(500))))

    def test_who_does_not_read(self) -> None:
        self.make_site({"web_stream_backlog": 5})
        slow, quick = self.open(), self.open()
        self.settle()
        assert slow.channel is not None
        slow.channel.pauseProducing()
        before = slow.received
        for number in range(10):
            self.submit(infohash(number))
            self.settle()
        self.assertEqual(slow.received, before)
        self.assertEqual(len(self.jobs(quick)), 10)
        slow.channel.resumeProducing()
        self.settle()
        self.assertEqual(self.jobs(slow), [("b007-10", "reset")])
        slow.channel.pauseProducing()
        self.clock.pump([1.0] * 62)
        self.assertTrue(slow.transport.aborted)

    def test_heartbeat(self) -> None:
        stream = self.open()
        self.settle()
        length = len(stream.received)
        self.clock.pump([1.0] * 16)
        self.assertIn(b": still here\n\n", stream.received[length:])
        self.clock.pump([1.0] * 120)
        self.assertFalse(stream.closed, "a stream may be silent for as long as it likes")

    def test_they_are_bounded(self) -> None:
        self.make_site({"web_streams": 2})
        first, _ = self.open(), self.open()
        [answer] = read_answers(self.open().received)
        self.problem(answer, 429)
        self.assertIn("retry-after", answer.headers)
        first.hang_up()
        self.assertEqual(read_answers(self.open().received)[0].status, 200)

    def test_hanging_up_leaves_nothing(self) -> None:
        stream = self.open()
        self.settle()
        stream.hang_up()
        self.assertEqual(self.site.hub.streams, {})
        self.submit(infohash(1))
        self.clock.pump([1.0] * 3)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_closing(self) -> None:
        stream = self.open()
        self.settle()
        closed = self.site.close(3.0)
        self.assertTrue(stream.received.endswith(b"0\r\n\r\n"))
        self.assertTrue(stream.transport.disconnecting)
        stream.hang_up()
        self.successResultOf(closed)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_head(self) -> None:
        answer = self.ask("HEAD", PATH)
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "text/event-stream"))
        self.assertEqual(self.site.hub.streams, {})
