"""POST and GET /api/v1/magnets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail

from functorrent.errors import QueueClosed, StoreError, StoreFull
from functorrent.store.jobs import NewJob
from tests.web.bed import JSON, TEXT, Answer, WebTestCase, infohash, request_bytes

PATH = "/api/v1/magnets"
V2 = "ab" * 32


def link(number: int, **more: str) -> str:
    return f"magnet:?xt=urn:btih:{infohash(number)}" + "".join(
        f"&{name}={value}" for name, value in more.items()
    )


class PostTextTests(WebTestCase):
    def post(self, body: bytes | str, **headers: str) -> Answer:
        data = body.encode() if isinstance(body, str) else body
        return self.ask("POST", PATH, data, {**TEXT, **headers})

    def test_lines(self) -> None:
        body = f"# a list\n\n{link(1)}\r\n  {infohash(2).upper()}  \nnonsense\nmagnet:?xt=urn:btmh:1220{V2}"
        answer = self.post(body)
        self.assertEqual((answer.status, answer.headers["content-type"]), (202, "application/json"))
        told = answer.json
        self.assertEqual(
            told["accepted"],
            [
                {"infohash": key, "status": "queued", "url": f"{PATH}/{key}"}
                for key in (infohash(1), infohash(2), V2)
            ],
        )
        [invalid] = told["invalid"]
        self.assertEqual((invalid["line"], invalid["input"]), (5, "nonsense"))
        self.assertIn("not a magnet", invalid["error"])
        self.assertEqual(told["invalid_omitted"], 0)
        job = self.ask("GET", f"{PATH}/{infohash(1)}").json
        self.assertEqual((job["magnet"], job["line"], job["priority"]), (link(1), 3, 0))

    def test_twice_is_once(self) -> None:
        self.submit(infohash(3))
        self.claim(infohash(3))
        answer = self.post("\n".join([infohash(1), link(1, dn="again"), infohash(3), infohash(1)]))
        told = [(row["infohash"], row["status"]) for row in answer.json["accepted"]]
        self.assertEqual(told, [(infohash(1), "queued"), (infohash(3), "fetching")])

    def test_nothing_valid(self) -> None:
        told = self.problem(self.post("a\nb\n"), 400, "No line")
        self.assertEqual([row["line"] for row in told["invalid"]], [1, 2])
        self.assertEqual(told["accepted_lines"], 0)
        self.problem(self.post("# nothing\n\n"), 400, "no magnet")
        self.problem(self.post(b""), 400, "no magnet")

    def test_strangers_bytes(self) -> None:
        body = (
            b"\xef\xbb\xbf" + infohash(1).encode() + b"\n\xff\x00\x1b[31m\xe2\x80\xae\n" + b"x" * 500 + b"\n"
        )
        told = self.post(body + b"y" * 70_000 + b"\n" + infohash(2).encode()).json
        self.assertEqual([row["infohash"] for row in told["accepted"]], [infohash(1), infohash(2)])
        first, second, third = told["invalid"]
        self.assertNotIn("\x1b", first["input"])
        self.assertNotIn("\u202e", first["input"])
        self.assertLessEqual(len(second["input"]), 201)
        self.assertIn("too long", third["error"])
        self.assertEqual(third["line"], 4)

    def test_types(self) -> None:
        for kind in ("text/plain", "TEXT/Plain; charset=UTF-8", 'text/plain;charset="utf-8"'):
            self.assertEqual(self.post(infohash(1), **{"Content-Type": kind}).status, 202)
        for kind in ("application/x-www-form-urlencoded", "text/html", "", "text/plain; charset=utf-16"):
            self.problem(self.post(infohash(2), **{"Content-Type": kind}), 415, "text/plain")
        self.problem(self.post(infohash(2), **{"Content-Encoding": "gzip"}), 415)
        self.assertEqual(self.successResultOf(self.store.counts())["queued"], 1)

    def test_a_query_is_not_ignored(self) -> None:
        self.problem(self.ask("POST", f"{PATH}?priority=1", infohash(1).encode(), TEXT), 400, "priority")

    def test_batches(self) -> None:
        self.make_site({"web_batch": 3})
        sizes: list[int] = []

        def submit(jobs: Sequence[NewJob]) -> Any:
            sizes.append(len(jobs))
            return self.store.submit(jobs)

        self.queue.submit = submit
        answer = self.post("\n".join(infohash(number) for number in range(100)))
        self.assertEqual(sizes, [3] * 33 + [1])
        self.assertEqual(
            [row["infohash"] for row in answer.json["accepted"]], [infohash(n) for n in range(100)]
        )

    def test_too_large(self) -> None:
        self.make_site({"web_text_body": 2 * 1024 * 1024})
        connection = self.connect()
        connection.send(request_bytes("POST", PATH, None, {**TEXT, "Content-Length": "2097153"}))
        self.problem(connection.answers()[0], 413, "2 MiB")

    def test_too_large_in_chunks(self) -> None:
        self.make_site({"web_text_body": 100, "web_batch": 1})
        body = b"".join(b"29\r\n%s\n\r\n" % infohash(n).encode() for n in range(4)) + b"0\r\n\r\n"
        answer = self.ask("POST", PATH, body, {**TEXT, "Transfer-Encoding": "chunked"})
        told = self.problem(answer, 413)
        self.assertEqual(told["accepted_lines"], 2, "what came before is in the store")

    def test_the_store_fails_in_mid_stream(self) -> None:
        self.make_site({"web_batch": 2})
        for error, status, words in (
            (StoreFull("no space is left on /data"), 503, "no space is left"),
            (QueueClosed("stopping"), 503, "stopping"),
            (ValueError("a bug"), 500, ""),
        ):
            answers = [self.store.submit, lambda jobs, error=error: fail(error)]
            self.queue.submit = lambda jobs, answers=answers: answers.pop(0)(jobs)
            answer = self.post("\n".join(infohash(number) for number in range(4)))
            told = self.problem(answer, status, words)
            self.assertEqual(told["accepted_lines"], 2)
            self.assertEqual("retry-after" in answer.headers, status == 503)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_no_faster_than_the_store(self) -> None:
        self.make_site({"web_batch": 10, "web_body_buffer": 1000})
        waiting: list[Deferred[Any]] = []

        def submit(jobs: Sequence[NewJob]) -> Deferred[Any]:
            waiting.append(Deferred())
            return waiting[-1].addCallback(lambda _: self.store.submit(jobs))

        self.queue.submit = submit
        body = b"".join(infohash(number).encode() + b"\n" for number in range(100))
        connection = self.connect()
        connection.send(request_bytes("POST", PATH, b"", {**TEXT, "Content-Length": str(len(body))}))
        sent = 0
        while sent < len(body):
            if connection.transport.producerState == "paused":
                waiting.pop(0).callback(None)
            else:
                connection.send(body[sent : sent + 300])
                sent += 300
        self.assertGreater(len(body) - 10 * 41, 1300, "it was paused at least once")
        while waiting:
            waiting.pop(0).callback(None)
        [answer] = connection.answers()
        self.assertEqual(len(answer.json["accepted"]), 100)

    def test_large_posts_are_counted(self) -> None:
        self.make_site({"web_large_posts": 1, "web_large_post": 1000})
        first, chunked = self.connect(), {**TEXT, "Transfer-Encoding": "chunked"}
        first.send(request_bytes("POST", PATH, None, {**TEXT, "Content-Length": "1001"}))
        answer = self.ask("POST", PATH, b"0\r\n\r\n", chunked)
        self.problem(answer, 429, "large posts")
        self.assertIn("retry-after", answer.headers)
        self.assertEqual(self.post(infohash(1)).status, 202, "small ones are not")
        first.hang_up()
        self.problem(self.ask("POST", PATH, b"0\r\n\r\n", chunked), 400, "no magnet")

    def test_many_invalid_lines(self) -> None:
        self.make_site({"web_invalid_rows": 3})
        told = self.post("a\nb\nc\nd\n" + infohash(1) + "\ne\n").json
        self.assertEqual([row["line"] for row in told["invalid"]], [1, 2, 3])
        self.assertEqual(told["invalid_omitted"], 2)

    def test_it_gives_way_to_others(self) -> None:
        # Each look at the clock costs a millisecond here.
        seconds, call_later = self.clock.seconds, self.clock.callLater
        turns = []

        def tick() -> float:
            self.clock.rightNow += 0.001
            return float(seconds())

        def count(delay: float, *more: Any) -> Any:
            turns.append(delay)
            return call_later(delay, *more)

        self.clock.seconds = tick  # type: ignore[method-assign]
        connection = self.connect()
        self.clock.callLater = count  # type: ignore[method-assign]
        body = "\n".join(infohash(number) for number in range(1500)).encode()
        connection.send(request_bytes("POST", PATH, body, TEXT))
        self.assertEqual(connection.received, b"", "it waits for a turn of the reactor")
        while not connection.received.endswith(b"0\r\n\r\n"):
            self.clock.advance(0)
        self.assertEqual(len(connection.answers()[0].json["accepted"]), 1500)
        self.assertGreater(turns.count(0), 3)

    def test_who_does_not_read_the_answer_is_not_written_to(self) -> None:
        connection = self.connect()
        body = "\n".join(infohash(number) for number in range(1000)).encode()
        write = connection.transport.writeSequence
        paused = []

        def write_and_pause(pieces: Any) -> None:
            write(pieces)
            if not paused and len(connection.received) > 20_000:
                paused.append(len(connection.received))
                assert connection.channel is not None
                connection.channel.pauseProducing()

        connection.transport.writeSequence = write_and_pause  # type: ignore[method-assign]
        connection.send(request_bytes("POST", PATH, body, TEXT))
        self.assertEqual(paused, [len(connection.received)])
        assert connection.channel is not None
        connection.channel.resumeProducing()
        self.assertEqual(len(connection.answers()[0].json["accepted"]), 1000)


class PostJSONTests(WebTestCase):
    def post(self, value: Any) -> Answer:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        return self.ask("POST", PATH, data, JSON)

    def test_magnets_and_priority(self) -> None:
        told = self.post({"magnets": [link(1, dn="[x] {y}"), "nonsense", infohash(2)], "priority": -7}).json
        self.assertEqual([row["infohash"] for row in told["accepted"]], [infohash(1), infohash(2)])
        self.assertEqual([row["line"] for row in told["invalid"]], [2])
        for number in (1, 2):
            self.assertEqual(self.ask("GET", f"{PATH}/{infohash(number)}").json["priority"], -7)

    def test_priority_may_stand_first_or_nowhere(self) -> None:
        self.assertEqual(
            self.post(b' {\t"priority" : 100 ,\r\n"magnets":[ "%s" ]} ' % infohash(1).encode()).status, 202
        )
        self.assertEqual(self.post({"magnets": [infohash(2)]}).status, 202)
        priorities = [self.ask("GET", f"{PATH}/{infohash(number)}").json["priority"] for number in (1, 2)]
        self.assertEqual(priorities, [100, 0])

    def test_escapes(self) -> None:
        body = b'{"magnets": ["\\u0030%s", "\\ud83d\\ude00", "\\ud800"]}' % infohash(1)[1:].encode()
        told = self.post(body).json
        self.assertEqual(told["accepted"][0]["infohash"], "0" + infohash(1)[1:])
        self.assertEqual(told["invalid"][0]["input"], "\U0001f600")

    def test_a_magnet_that_is_too_long(self) -> None:
        told = self.post({"magnets": ["x" * 70_000, infohash(1)]}).json
        self.assertIn("too long", told["invalid"][0]["error"])
        self.assertLessEqual(len(told["invalid"][0]["input"]), 201)

    def test_wrong_shapes(self) -> None:
        one = json.dumps(infohash(1))
        for text in (
            "",
            "[]",
            "null",
            "{}",
            "{",
            '{"magnets"',
            '{"magnets":',
            '{"magnets": []',
            '{"magnets": [}',
            '{"magnets": {}}',
            '{"magnets": "x"}',
            '{"magnets": [1]}',
            '{"magnets": [null]}',
            '{"magnets": [[]]}',
            f'{{"magnets": [{one},]}}',
            f'{{"magnets": [{one}],}}',
            f'{{"magnets": [{one}]}} x',
            f'{{"magnets": [{one}], "magnets": []}}',
            f'{{"magnets": [{one}], "more": 1}}',
            '{"priority": 1}',
            f'{{"magnets": [{one}], "priority": 101}}',
            f'{{"magnets": [{one}], "priority": 1.5}}',
            f'{{"magnets": [{one}], "priority": 1e1}}',
            f'{{"magnets": [{one}], "priority": "1"}}',
            f'{{"magnets": [{one}], "priority": true}}',
            f'{{"magnets": [{one}], "priority": 01}}',
            '{"magnets": ["\n"]}',
            '{"magnets": ["\\x"]}',
            '{"magnets": ["a]}',
            "{1: 2}",
        ):
            told = self.problem(self.post(text.encode()), 400)
            self.assertEqual(told["accepted_lines"], 0, text)
        self.problem(self.post(b'{"magnets": ["\xff"]}'), 400, "UTF-8")
        self.problem(self.post(b"[" * 100_000), 400)
        self.assertEqual(self.successResultOf(self.store.counts())["queued"], 0)

    def test_no_magnets(self) -> None:
        self.problem(self.post({"magnets": []}), 400, "no magnet")

    def test_too_large(self) -> None:
        self.problem(self.post(b"x" * (4 * 1024 * 1024 + 1)), 413, "4 MiB")


class ListTests(WebTestCase):
    def keys(self, query: str = "") -> list[str]:
        answer = self.ask("GET", PATH + query)
        self.assertEqual(answer.status, 200, answer.body)
        return [job["infohash"] for job in answer.json["magnets"]]

    def test_pages(self) -> None:
        self.submit(*map(infohash, range(7)))
        first = self.ask("GET", f"{PATH}?limit=3").json
        second = self.ask("GET", f"{PATH}?limit=3&cursor={first['next']}").json
        third = self.ask("GET", f"{PATH}?limit=3&cursor={second['next']}").json
        found = [job["infohash"] for page in (first, second, third) for job in page["magnets"]]
        self.assertEqual(found, [infohash(number) for number in range(6, -1, -1)])
        self.assertIsNone(third["next"])
        self.assertNotIn("report", first["magnets"][0])

    def test_status(self) -> None:
        self.submit(infohash(1), infohash(2))
        self.claim(infohash(2))
        self.assertEqual(self.keys("?status=queued"), [infohash(1)])
        self.assertEqual(self.keys("?status=fetching"), [infohash(2)])
        self.problem(self.ask("GET", f"{PATH}?status=failed"), 400, "queued, fetching, waiting")

    def test_search(self) -> None:
        self.submit(
            link(1, dn="Debian+2024"), link(2, dn="%D0%9A%D0%BD%D0%B8%D0%B3%D0%B0"), link(3, dn="a%25b_c")
        )
        self.assertEqual(self.keys(f"?q={infohash(1)[:1]}"), [infohash(1)])
        self.assertEqual(self.keys(f"?q={infohash(2)[:20].upper()}"), [infohash(2)])
        self.assertEqual(self.keys("?q=dEBIAN"), [infohash(1)])
        # Hex digits may be a name's, too.
        self.assertEqual(self.keys("?q=2024"), [infohash(1)])
        self.assertEqual(self.keys("?q=%D0%9A%D0%9D%D0%98"), [infohash(2)])
        self.assertEqual(self.keys("?q=a%25b"), [infohash(3)])
        self.assertEqual(self.keys("?q=a_b"), [])
        self.assertEqual(len(self.keys("?q=")), 3)
        self.assertEqual(len(self.keys("?q=+")), 3)
        for short in ("x", "zz", "+z+"):
            self.problem(self.ask("GET", f"{PATH}?q={short}"), 400, "3 characters")

    def test_wrong_queries(self) -> None:
        for query in (
            "limit=0",
            "limit=501",
            "limit=x",
            "limit=",
            "limit=1.0",
            "limit=-1",
            "limit=%D9%A1",
            "cursor=",
            "cursor=x",
            "cursor=-1",
            "cursor=1234567890abc",
            "cursor=1%0a",
            "limit=1&limit=2",
            "what=1",
            "status=",
            "q=%ff",
        ):
            self.problem(self.ask("GET", f"{PATH}?{query}"), 400)

    def test_the_store_fails(self) -> None:
        self.store.jobs = lambda query: fail(StoreError("the disk is gone"))  # type: ignore[method-assign]
        answer = self.ask("GET", PATH)
        self.problem(answer, 503, "the disk is gone")
        self.assertEqual(answer.headers["retry-after"], "30")

    def test_a_bug_is_logged_and_not_told(self) -> None:
        def broken(query: Any) -> Any:
            raise ValueError("the secret of the traceback")

        self.store.jobs = broken  # type: ignore[method-assign]
        answer = self.ask("GET", PATH)
        self.problem(answer, 500)
        self.assertNotIn(b"secret", answer.body)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
