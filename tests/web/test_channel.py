"""Connections: deadlines, what cannot be read, pipelines, and bodies that nobody wants."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from tests.web.bed import TEXT, Connection, WebTestCase, infohash, request_bytes

POST = "/api/v1/magnets"


class KeepingTests(WebTestCase):
    def test_one_request_after_the_other(self) -> None:
        connection = self.connect()
        for number in range(1, 4):
            connection.send(request_bytes("POST", POST, infohash(number).encode(), TEXT))
            self.assertEqual([answer.status for answer in connection.answers()], [202] * number)
        self.assertFalse(connection.closed)

    def test_a_pipeline(self) -> None:
        connection = self.connect()
        requests = [request_bytes("GET", "/healthz"), request_bytes("POST", POST, infohash(1).encode(), TEXT)]
        requests += [request_bytes("GET", "/nothing"), request_bytes("GET", f"{POST}/{infohash(1)}")]
        connection.send(b"".join(requests))
        self.assertEqual([answer.status for answer in connection.answers()], [200, 202, 404, 200])
        self.assertFalse(connection.closed)

    def test_every_split(self) -> None:
        data = request_bytes("POST", POST, infohash(1).encode(), TEXT)
        chunked = {**TEXT, "Transfer-Encoding": "chunked"}
        body = (
            b"a\r\n"
            + infohash(1)[:10].encode()
            + b"\r\n1e\r\n"
            + infohash(1)[10:].encode()
            + b"\r\n0\r\n\r\n"
        )
        for whole in (data, request_bytes("POST", POST, body, chunked)):
            for at in range(1, len(whole)):
                connection = self.connect()
                connection.send(whole[:at])
                connection.send(whole[at:] + request_bytes("GET", "/healthz"))
                self.assertEqual([answer.status for answer in connection.answers()], [202, 200], at)

    def test_http_1_0(self) -> None:
        connection = self.connect()
        connection.send(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
        self.assertEqual(connection.answers()[0].json, {"status": "ok"})
        self.assertTrue(connection.transport.disconnecting)

    def test_head(self) -> None:
        connection = self.connect()
        connection.send(request_bytes("HEAD", "/healthz") + request_bytes("GET", "/healthz"))
        head, get = connection.answers(heads=1)
        self.assertEqual((head.status, head.body), (200, b""))
        self.assertEqual(head.headers["content-length"], str(len(get.body)))

    def test_continue(self) -> None:
        connection = self.connect()
        head = {**TEXT, "Content-Length": "40", "Expect": "100-continue"}
        connection.send(request_bytes("POST", POST, None, head))
        self.assertEqual(connection.received, b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.send(infohash(1).encode())
        self.assertEqual([answer.status for answer in connection.answers()], [100, 202])

    def test_every_answer_is_armoured(self) -> None:
        broken = self.connect()
        broken.send(b"nonsense\r\n\r\n")
        answers = [self.ask("GET", "/healthz"), self.ask("GET", "/nothing"), *broken.answers()]
        answers.append(self.ask("GET", "/healthz", headers={"Host": "evil.example"}))
        for answer in answers:
            self.assertEqual(answer.headers["x-content-type-options"], "nosniff")
            self.assertEqual(answer.headers["x-frame-options"], "DENY")
            self.assertIn("default-src 'none'", answer.headers["content-security-policy"])
            self.assertIn("frame-ancestors 'none'", answer.headers["content-security-policy"])
            self.assertEqual(answer.headers["cache-control"], "no-store")
            self.assertNotIn("Twisted", answer.headers["server"])


class UnreadableTests(WebTestCase):
    def refused(self, data: bytes, status: int) -> Connection:
        connection = self.connect()
        connection.send(data)
        self.assertEqual(len(connection.answers()), 1, data[:60])
        self.problem(connection.answers()[0], status)
        self.assertTrue(connection.closed)
        before = connection.received
        connection.send(request_bytes("GET", "/healthz"))
        self.assertEqual(connection.received, before, "nothing more is answered")
        return connection

    def test_what_is_no_http(self) -> None:
        head = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
        for data in (
            b"\x16\x03\x01\x02\x00\x01\x00\r\n",
            b"GET /\r\n\r\n",
            b"GET / HTTP/9.9.9 x\r\n\r\n",
            head + b"no colon\r\n\r\n",
            head + b"bad name: x\r\n\r\n",
            head + b"no colon\r\nbad name: x\r\nno colon\r\n\r\n",
            head + b"Content-Length: x\r\n\r\n",
            head + b"Content-Length: -1\r\n\r\n",
            head + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
            head + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            head + b"Transfer-Encoding: gzip\r\n\r\n",
        ):
            self.refused(data, 400)

    def test_headers_without_an_end(self) -> None:
        head = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
        self.refused(head + b"X: " + b"y" * 20_000, 431)
        self.refused(head + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 1000) for n in range(20)), 400)
        self.refused(head + b"A: b\r\n" * 600 + b"\r\n", 400)

    def test_targets_that_are_no_paths(self) -> None:
        for target in ("*", "http://localhost/healthz", "healthz"):
            self.problem(self.ask("GET", target), 400)
        for target in (
            "/%ff",
            "/api/v1/magnets/%00",
            "//healthz",
            "/healthz/",
            "/../etc/passwd",
            "/%2e%2e/x",
        ):
            self.problem(self.ask("GET", target), 404)
        self.problem(self.ask("GET", "/api/v1/magnets?q=%ff%fe%fd"), 400)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_methods(self) -> None:
        answer = self.ask("PUT", "/api/v1/magnets")
        self.problem(answer, 405, "GET, HEAD, POST")
        self.assertEqual(answer.headers["allow"], "GET, HEAD, POST")
        for method in ("OPTIONS", "TRACE", "PATCH", "BREW"):
            self.problem(self.ask(method, "/api/v1/stats"), 405)
        self.problem(self.ask("G-T", "/api/v1/stats"), 404)

    def test_broken_chunks(self) -> None:
        head = {**TEXT, "Transfer-Encoding": "chunked"}
        good = b"29\r\n" + infohash(1).encode() + b"\n\r\n"
        for bad in (b"x\r\n", b"-1\r\n", b"5\r\nabcdeXX", b"0\r\n" + b"T: x\r\n" * 20_000):
            connection = self.connect()
            connection.send(request_bytes("POST", POST, good + bad, head))
            told = self.problem(connection.answers()[0], 400, "chunked")
            self.assertEqual(told["accepted_lines"], 0)
            self.assertTrue(connection.closed)


class DeadlineTests(WebTestCase):
    def test_nothing_is_said(self) -> None:
        connection = self.connect()
        self.clock.pump([1.0] * 14)
        self.assertFalse(connection.closed)
        self.clock.pump([1.0] * 2)
        self.assertTrue(connection.closed)
        self.assertEqual(connection.received, b"")

    def test_headers_in_drops(self) -> None:
        connection = self.connect()
        connection.send(b"GET / HTTP/1.1\r\n")
        for number in range(14):
            self.clock.advance(1.0)
            connection.send(b"X-%d: y\r\n" % number)
        self.assertFalse(connection.closed)
        self.clock.pump([1.0] * 2)
        self.problem(connection.answers()[0], 408)
        self.assertTrue(connection.closed)
        # And one that does not end its side is cut.
        self.clock.pump([1.0] * 3)
        self.assertTrue(connection.transport.aborted)

    def test_an_idle_connection(self) -> None:
        connection = self.connect()
        connection.send(request_bytes("GET", "/healthz"))
        self.clock.pump([1.0] * 74)
        self.assertFalse(connection.closed)
        self.clock.pump([1.0] * 2)
        self.assertTrue(connection.closed)
        self.assertEqual(len(connection.answers()), 1)

    def test_headers_after_a_rest_have_their_own_time(self) -> None:
        connection = self.connect()
        connection.send(request_bytes("GET", "/healthz"))
        self.clock.pump([1.0] * 60)
        connection.send(b"GET / HTTP/1.1\r\n")
        self.clock.pump([1.0] * 14)
        self.assertFalse(connection.closed)
        self.clock.pump([1.0] * 2)
        self.assertEqual([answer.status for answer in connection.answers()], [200, 408])

    def test_a_body_that_stops(self) -> None:
        connection = self.connect()
        connection.send(
            request_bytes("POST", POST, infohash(1).encode() + b"\n", {**TEXT, "Content-Length": "100"})
        )
        self.clock.pump([1.0] * 19)
        self.assertFalse(connection.closed)
        self.clock.pump([1.0] * 2)
        self.problem(connection.answers()[0], 408)
        self.assertTrue(connection.closed)

    def test_a_body_in_drops_comes_to_an_end(self) -> None:
        self.make_site({"web_body_time": 60.0})
        connection = self.connect()
        connection.send(request_bytes("POST", POST, b"", {**TEXT, "Content-Length": "100000"}))
        for _ in range(59):
            self.clock.advance(1.0)
            connection.send(b"#")
        self.assertFalse(connection.closed)
        for _ in range(22):
            self.clock.advance(1.0)
            connection.send(b"#")
        self.problem(connection.answers()[0], 408)

    def test_while_we_do_not_read_the_time_of_a_body_stands_still(self) -> None:
        self.make_site({"web_body_time": 60.0, "web_body_buffer": 100, "web_batch": 1})
        waiting: list[Deferred[object]] = []

        def submit(jobs: object) -> Deferred[object]:
            waiting.append(Deferred())
            return waiting[-1]

        self.queue.submit = submit
        line = infohash(1).encode() + b"\n"
        connection = self.connect()
        connection.send(request_bytes("POST", POST, line, {**TEXT, "Content-Length": "1000"}))
        connection.send(line * 9)
        self.assertEqual(connection.transport.producerState, "paused")
        self.clock.pump([1.0] * 300)
        self.assertFalse(connection.closed)
        self.queue.submit = self.store.submit
        while waiting:
            waiting.pop().callback([])
        self.clock.pump([1.0] * 15)
        connection.send(b"#")
        self.clock.pump([1.0] * 15)
        connection.send(b"#" * (1000 - len(line) * 10 - 1))
        self.clock.pump([0.0] * 5)
        self.assertEqual(connection.answers()[0].status, 202)

    def test_who_does_not_read(self) -> None:
        connection = self.connect()
        connection.send(request_bytes("GET", "/healthz"))
        assert connection.channel is not None
        connection.channel.pauseProducing()
        self.clock.pump([1.0] * 59)
        connection.channel.resumeProducing()
        self.clock.pump([1.0] * 10)
        self.assertFalse(connection.transport.aborted)
        connection.channel.pauseProducing()
        self.clock.pump([1.0] * 61)
        self.assertTrue(connection.transport.aborted)

    def test_no_timer_is_left(self) -> None:
        connection = self.connect()
        connection.send(request_bytes("GET", "/healthz"))
        assert connection.channel is not None
        connection.channel.pauseProducing()
        connection.hang_up()
        self.clock.pump([1.0] * 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class RefusedBodyTests(WebTestCase):
    def test_the_rest_is_dropped_unread(self) -> None:
        connection = self.connect()
        connection.send(
            request_bytes("POST", POST, b"x" * 100, {"Content-Type": "a/b", "Content-Length": "100000"})
        )
        [answer] = connection.answers()
        self.problem(answer, 415)
        self.assertEqual(answer.headers["connection"], "close")
        self.assertTrue(connection.transport.half_closed)
        connection.send(b"x" * 99_900 + request_bytes("GET", "/healthz"))
        self.assertEqual(len(connection.answers()), 1)
        self.clock.pump([1.0] * 3)
        self.assertTrue(connection.transport.aborted)

    def test_a_body_that_nobody_asked_for(self) -> None:
        connection = self.connect()
        connection.send(request_bytes("GET", "/healthz", b"{}"))
        self.assertEqual(connection.answers()[0].status, 200)
        self.assertTrue(connection.closed)

    def test_an_answer_at_the_last_byte(self) -> None:
        # The handler answers within the very call that brings the end.
        connection = self.connect()
        body = b"4001\r\n" + b"x" * 0x4001 + b"\r\n0\r\n\r\n"
        connection.send(request_bytes("POST", "/api/v1/session", body, {"Transfer-Encoding": "chunked"}))
        [answer] = connection.answers()
        self.problem(answer, 413)
        self.assertTrue(connection.closed)


class HangUpTests(WebTestCase):
    def test_at_every_byte(self) -> None:
        whole = request_bytes("POST", POST, infohash(1).encode(), TEXT)
        for at in range(len(whole)):
            connection = self.connect()
            connection.send(whole[:at])
            connection.hang_up()
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(self.successResultOf(self.store.counts())["queued"], 0)

    def test_while_the_store_works(self) -> None:
        waiting: Deferred[object] = Deferred()
        self.queue.submit = lambda jobs: waiting
        connection = self.connect()
        connection.send(request_bytes("POST", POST, infohash(1).encode(), TEXT))
        connection.hang_up()
        self.assertFalse(waiting.called, "the store is not broken off")
        waiting.callback([])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_the_store_fails_after_it(self) -> None:
        waiting: Deferred[object] = Deferred()
        self.queue.submit = lambda jobs: waiting
        connection = self.connect()
        connection.send(request_bytes("POST", POST, infohash(1).encode(), TEXT))
        connection.hang_up()
        waiting.errback(ValueError("late"))
        self.assertEqual(self.flushLoggedErrors(), [])


class ClosingTests(WebTestCase):
    def test_idle_ones_at_once_and_others_when_answered(self) -> None:
        idle, busy = self.connect(), self.connect()
        idle.send(request_bytes("GET", "/healthz"))
        waiting: Deferred[object] = Deferred()
        self.queue.submit = lambda jobs: waiting
        busy.send(request_bytes("POST", POST, infohash(1).encode(), TEXT))
        closed = self.site.close(3.0)
        self.assertTrue(idle.transport.aborted)
        idle.hang_up()
        self.assertIsNone(self.site.buildProtocol(None))
        self.assertNoResult(closed)
        waiting.callback([])
        self.assertTrue(busy.transport.disconnecting)
        busy.hang_up()
        self.successResultOf(closed)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_connections_that_have_sent_nothing_go_at_once(self) -> None:
        """Browsers open some ahead."""
        silent = self.connect()
        closed = self.site.close(3.0)
        self.assertTrue(silent.transport.aborted)
        silent.hang_up()
        self.successResultOf(closed)

    def test_a_body_that_is_still_coming_is_answered(self) -> None:
        """What was accepted is told, and the rest not waited for."""
        busy = self.connect()
        lines = b"".join(infohash(number).encode() + b"\n" for number in range(3))
        head = request_bytes("POST", POST, None, {**TEXT, "Content-Length": "1000000"})
        busy.send(head + lines)
        self.site.close(3.0)
        [answer] = busy.answers()
        self.problem(answer, 503, "stopping")
        self.assertEqual(answer.json["accepted_lines"], 0)
        self.assertTrue(busy.closed)

    def test_who_waits_is_answered(self) -> None:
        [key] = self.submit(infohash(1))
        waiting = self.connect()
        waiting.send(request_bytes("GET", f"{POST}/{key}?wait=60"))
        self.assertEqual(waiting.received, b"")
        closed = self.site.close(3.0)
        [answer] = waiting.answers()
        self.assertEqual((answer.status, answer.json["status"]), (200, "queued"))
        waiting.hang_up()
        self.successResultOf(closed)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_patience_ends(self) -> None:
        busy = self.connect()
        self.queue.submit = lambda jobs: Deferred()
        busy.send(request_bytes("POST", POST, infohash(1).encode(), TEXT))
        closed = self.site.close(3.0)
        self.clock.advance(3.0)
        self.assertTrue(busy.transport.aborted)
        busy.hang_up()
        self.successResultOf(closed)
