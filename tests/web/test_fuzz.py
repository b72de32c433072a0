"""Any bytes at all, in any packets: nothing is raised, nothing is logged, and what is answered is HTTP."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.web.bed import WebTestCase, infohash, read_answers

#: What requests are made of, and what they are broken with.
PIECES = st.sampled_from(
    [
        b"GET /healthz HTTP/1.1\r\n",
        b"POST /api/v1/magnets HTTP/1.1\r\n",
        b"POST /api/v1/session HTTP/1.1\r\n",
        b"DELETE /api/v1/magnets/" + infohash(1).encode() + b" HTTP/1.1\r\n",
        b"HEAD / HTTP/1.0\r\n",
        b"Host: localhost\r\n",
        b"Host: evil.example\r\n",
        b"Content-Type: text/plain\r\n",
        b"Content-Type: application/json\r\n",
        b"Content-Length: 41\r\n",
        b"Content-Length: 99999999999\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: 100-continue\r\n",
        b"Connection: close\r\n",
        b"Origin: null\r\n",
        b"If-None-Match: *\r\n",
        b" folded\r\n",
        b"\r\n",
        b"\n",
        b"29\r\n",
        infohash(1).encode() + b"\n",
        b'{"magnets": ["' + infohash(2).encode() + b'"]}',
        b"0\r\n\r\n",
        b"\xff\x00",
        b":",
        b"x" * 300,
    ]
)
PACKETS = st.lists(st.lists(PIECES | st.binary(max_size=5), max_size=6).map(b"".join), max_size=8)


class FuzzTests(WebTestCase):
    def setUp(self) -> None:
        super().setUp()
        # All examples come from one address, and share one store, which takes long to make.
        self.make_site({"web_burst": 10**9})

    @given(PACKETS, st.booleans())
    @settings(deadline=None, derandomize=True, max_examples=300)
    def test_any_packets(self, packets: list[bytes], in_time: bool) -> None:
        connection = self.connect()
        for packet in packets:
            if connection.closed:
                break
            connection.send(packet)
            if not in_time:
                self.clock.pump([7.0, 0.0])
        received = connection.received
        self.assertTrue(not received or received.startswith(b"HTTP/1."), received[:80])
        if b"HEAD" not in b"".join(packets):
            for answer in read_answers(received):
                self.assertIn(
                    answer.status, (100, 200, 202, 204, 400, 401, 403, 404, 405, 408, 413, 415, 421, 431)
                )
                self.assertNotIn(b"Traceback", answer.body)
        connection.hang_up()
        self.clock.pump([1.0, 1.0])
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
