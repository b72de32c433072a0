"""Host, Origin, token, session and rates: who gets in."""

from __future__ import annotations

from functorrent.web.doors import network_of
from functorrent.web.hosts import HostGuard, same_origin, split_host
from tests.web.bed import JSON, TEXT, Connection, WebTestCase, infohash, request_bytes

TOKEN = "a-token-of-the-tests"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class HostTests(WebTestCase):
    def test_our_names(self) -> None:
        for host in ("localhost", "LOCALHOST:9667", "localhost.", "127.0.0.1", "127.0.0.1:1", "[::1]:9667"):
            self.assertEqual(self.ask("GET", "/healthz", headers={"Host": host}).status, 200, host)

    def test_other_names(self) -> None:
        for host in ("evil.example", "evil.example:9667", "127.0.0.1.evil.example", "10.0.0.1", "[::2]"):
            problem = self.problem(self.ask("GET", "/healthz", headers={"Host": host}), 421)
            self.assertIn("--http-host", problem["detail"])

    def test_the_address_that_the_connection_came_in_at(self) -> None:
        headers = {"Host": "10.0.0.1:9667"}
        self.assertEqual(self.ask("GET", "/healthz", headers=headers, address="10.0.0.1").status, 200)
        self.assertEqual(self.ask("GET", "/healthz", headers=headers, address="10.0.0.2").status, 421)

    def test_names_of_the_operator(self) -> None:
        self.make_site(hosts=["Meta.Example"])
        self.assertEqual(self.ask("GET", "/healthz", headers={"Host": "meta.example:8443"}).status, 200)
        self.assertEqual(self.ask("GET", "/healthz", headers={"Host": "x.meta.example"}).status, 421)

    def test_no_host_two_hosts_and_nonsense(self) -> None:
        for lines in (
            b"",
            b"Host: localhost\r\nHost: localhost\r\n",
            b"Host: \r\n",
            b"Host: a b\r\n",
            b"Host: \xff\r\n",
        ):
            connection = self.connect()
            connection.send(b"GET /healthz HTTP/1.1\r\n" + lines + b"\r\n")
            [answer] = connection.answers()
            self.problem(answer, 400, "Host")

    def test_split(self) -> None:
        self.assertEqual(split_host(b"Example.COM.:443"), ("example.com", ""))
        self.assertEqual(split_host(b"[FE80::1]:81"), ("fe80::1", "81"))
        for bad in (b"", b":80", b"a:b", b"a/b", b"a@b", b"[::1", b"a:123456"):
            self.assertIsNone(split_host(bad), bad)

    def test_a_mapped_address_is_the_ipv4_one(self) -> None:
        self.assertTrue(HostGuard().allows("10.0.0.1", "::ffff:10.0.0.1"))


class OriginTests(WebTestCase):
    def post(self, **headers: str) -> int:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", "/api/v1/magnets", infohash(1).encode(), {**TEXT, **names}).status

    def test_no_origin_and_our_own(self) -> None:
        self.assertEqual(self.post(), 202)
        self.assertEqual(self.post(Origin="http://localhost:9667", Sec_Fetch_Site="same-origin"), 202)
        # A proxy that speaks HTTPS for us.
        self.assertEqual(self.post(Origin="https://localhost", Host="localhost"), 202)

    def test_others(self) -> None:
        for origin in (
            "http://evil.example",
            "null",
            "http://localhost:8080",
            "http://localhost:9667/x",
            "file://",
        ):
            self.assertEqual(self.post(Origin=origin), 403, origin)
        self.assertEqual(self.post(Sec_Fetch_Site="cross-site"), 403)
        self.assertEqual(self.post(Sec_Fetch_Site="same-site"), 403)
        self.assertEqual(self.successResultOf(self.store.counts())["queued"], 0)

    def test_every_method_that_changes_something(self) -> None:
        for method, path in (("DELETE", infohash(1)), ("POST", infohash(1) + "/retry")):
            answer = self.ask(method, f"/api/v1/magnets/{path}", headers={"Origin": "http://evil.example"})
            self.problem(answer, 403)

    def test_reading_is_left_to_the_browser(self) -> None:
        answer = self.ask("GET", "/api/v1/magnets", headers={"Origin": "http://evil.example"})
        self.assertEqual(answer.status, 200)
        self.assertFalse([name for name in answer.headers if name.startswith("access-control")])

    def test_same_origin(self) -> None:
        self.assertTrue(same_origin(b"https://a.example", b"a.example:443"))
        self.assertFalse(same_origin(b"https://a.example:1", b"a.example:2"))
        self.assertFalse(same_origin(b"https://", b""))
        self.assertFalse(same_origin(b"https://%", b"%"))


class TokenTests(WebTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.make_site(token=TOKEN)

    def test_what_needs_it(self) -> None:
        for method, path in (
            ("GET", "/api/v1/magnets"),
            ("POST", "/api/v1/magnets"),
            ("GET", f"/api/v1/magnets/{infohash(1)}"),
            ("DELETE", f"/api/v1/magnets/{infohash(1)}"),
            ("POST", f"/api/v1/magnets/{infohash(1)}/retry"),
            ("GET", f"/api/v1/magnets/{infohash(1)}/torrent"),
            ("GET", f"/api/v1/magnets/{infohash(1)}/files"),
            ("GET", "/api/v1/events"),
            ("GET", "/api/v1/stats"),
            ("GET", "/metrics"),
            ("GET", "/openapi.json"),
            ("GET", "/what/is/not/there"),
        ):
            answer = self.ask(method, path)
            self.problem(answer, 401)
            self.assertIn("Bearer", answer.headers["www-authenticate"])
            self.assertNotEqual(
                self.ask(method, path, headers=BEARER).status, 401 if "events" not in path else 0
            )

    def test_what_does_not(self) -> None:
        for path in ("/healthz", "/readyz", "/api/v1/session"):
            self.assertEqual(self.ask("GET", path).status, 200)

    def test_wrong_ones(self) -> None:
        for value in ("Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer \u00e9"):
            answer = self.ask(
                "GET", "/api/v1/stats", headers={"Authorization": value}, client=f"1.1.1.{len(value)}"
            )
            self.problem(answer, 401)
        self.assertEqual(
            self.ask("GET", "/api/v1/stats", headers={"Authorization": f"bearer  {TOKEN}"}).status, 200
        )

    def test_two_headers(self) -> None:
        connection = self.connect()
        both = f"Authorization: Bearer {TOKEN}\r\nAuthorization: Bearer x\r\n".encode()
        connection.send(b"GET /api/v1/stats HTTP/1.1\r\nHost: localhost\r\n" + both + b"\r\n")
        self.problem(connection.answers()[0], 401)

    def test_guessing_is_slow(self) -> None:
        self.make_site({"web_wrong_tokens": 3, "web_wrong_token_refill": 10.0}, token=TOKEN)
        wrong = {"Authorization": "Bearer wrong"}
        for _ in range(3):
            self.problem(self.ask("GET", "/api/v1/stats", headers=wrong), 401)
        answer = self.ask("GET", "/api/v1/stats", headers=wrong)
        self.problem(answer, 429)
        self.assertEqual(answer.headers["retry-after"], "10")
        # Not even the right one, or a guess would still tell.
        self.problem(self.ask("GET", "/api/v1/stats", headers=BEARER), 429)
        login = self.ask("POST", "/api/v1/session", b'{"token": "%s"}' % TOKEN.encode(), JSON)
        self.problem(login, 429)
        self.assertEqual(self.ask("GET", "/api/v1/stats", headers=BEARER, client="192.0.2.8").status, 200)
        self.clock.advance(10.0)
        self.assertEqual(self.ask("GET", "/api/v1/stats", headers=BEARER).status, 200)

    def test_the_body_of_a_stranger_is_not_awaited(self) -> None:
        connection = self.connect()
        head = {**TEXT, "Content-Length": "1000000", "Expect": "100-continue"}
        connection.send(request_bytes("POST", "/api/v1/magnets", None, head))
        [answer] = connection.answers()
        self.problem(answer, 401)
        self.assertEqual(answer.headers["connection"], "close")
        self.assertTrue(connection.transport.half_closed)


class SessionTests(WebTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.make_site(token=TOKEN)

    def login(self, **headers: str) -> str:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        body = b'{"token": "%s"}' % TOKEN.encode()
        answer = self.ask("POST", "/api/v1/session", body, {**JSON, **names})
        self.assertEqual((answer.status, answer.body), (204, b""))
        return answer.headers["set-cookie"]

    def test_login_and_logout(self) -> None:
        cookie = self.login()
        value, *attributes = cookie.split("; ")
        self.assertTrue(value.startswith("metafetch="))
        self.assertNotIn(TOKEN, cookie)
        self.assertEqual({"HttpOnly", "SameSite=Strict", "Path=/"} - set(attributes), set())
        self.assertNotIn("Secure", attributes)
        headers = {"Cookie": f"other=1; {value}"}
        self.assertEqual(self.ask("GET", "/api/v1/stats", headers=headers).status, 200)
        told = {"required": True, "valid": True}
        self.assertEqual(self.ask("GET", "/api/v1/session", headers=headers).json, told)
        answer = self.ask("DELETE", "/api/v1/session", headers=headers)
        self.assertEqual(answer.status, 204)
        self.assertIn("metafetch=; ", answer.headers["set-cookie"])
        self.problem(self.ask("GET", "/api/v1/stats", headers=headers), 401)

    def test_behind_a_proxy_that_speaks_https(self) -> None:
        self.assertIn("; Secure", self.login(X_Forwarded_Proto="https"))

    def test_it_outlives_a_restart_but_no_new_token(self) -> None:
        headers = {"Cookie": self.login().split(";")[0]}
        self.make_site(token=TOKEN)
        self.assertEqual(self.ask("GET", "/api/v1/stats", headers=headers).status, 200)
        self.make_site(token=TOKEN + "2")
        self.problem(self.ask("GET", "/api/v1/stats", headers=headers), 401)

    def test_it_ends(self) -> None:
        headers = {"Cookie": self.login().split(";")[0]}
        self.clock.advance(180 * 86_400 - 1)
        self.assertEqual(self.ask("GET", "/api/v1/stats", headers=headers).status, 200)
        self.clock.advance(1)
        self.problem(self.ask("GET", "/api/v1/stats", headers=headers), 401)

    def test_forged_ones(self) -> None:
        value = self.login().split(";")[0].partition("=")[2]
        end, nonce, signature = value.split(".")
        later = f"{int(end) + 1}.{nonce}.{signature}"
        for forged in ("", ".", "..", later, value[:-1], f"{end}.{nonce}.", TOKEN):
            answer = self.ask("GET", "/api/v1/stats", headers={"Cookie": f"metafetch={forged}"})
            self.problem(answer, 401)

    def test_wrong_bodies(self) -> None:
        for body in (b"", b"x", b"[]", b'{"token": 1}', b'{"token": "x", "more": 1}', b"[" * 10_000, b"\xff"):
            self.problem(self.ask("POST", "/api/v1/session", body, JSON), 400)
        self.problem(self.ask("POST", "/api/v1/session", b'{"token": "wrong"}', JSON), 401)
        self.problem(self.ask("POST", "/api/v1/session", b'{"token": "\\ud800"}', JSON), 401)
        self.problem(self.ask("POST", "/api/v1/session", b"x" * 20_000, JSON), 413)

    def test_login_of_another_site(self) -> None:
        body = b'{"token": "%s"}' % TOKEN.encode()
        self.problem(
            self.ask("POST", "/api/v1/session", body, {**JSON, "Origin": "http://evil.example"}), 403
        )

    def test_without_a_token(self) -> None:
        self.make_site()
        self.assertEqual(self.ask("GET", "/api/v1/session").json, {"required": False, "valid": True})
        self.assertEqual(self.ask("POST", "/api/v1/session", b'{"token": "x"}', JSON).status, 204)


class RateTests(WebTestCase):
    def test_requests_of_one_address(self) -> None:
        self.make_site({"web_rate": 2.0, "web_burst": 3})
        for _ in range(3):
            self.assertEqual(self.ask("GET", "/healthz").status, 200)
        answer = self.ask("GET", "/healthz")
        self.problem(answer, 429)
        self.assertEqual(answer.headers["retry-after"], "1")
        self.assertEqual(self.ask("GET", "/healthz", client="192.0.2.8").status, 200)
        self.clock.advance(0.5)
        self.assertEqual(self.ask("GET", "/healthz").status, 200)

    def test_networks(self) -> None:
        self.assertEqual(network_of("192.0.2.1"), "192.0.2.1")
        self.assertEqual(network_of("::ffff:192.0.2.1"), "192.0.2.1")
        self.assertEqual(network_of("2001:db8:1:2:3::4"), network_of("2001:db8:1:2::"))
        self.assertNotEqual(network_of("2001:db8:1:2::4"), network_of("2001:db8:1:3::4"))
        self.assertEqual(network_of("::1"), network_of("::2"))
        self.assertEqual(network_of("fe80::1%eth0"), network_of("fe80::2%eth0"))

    def test_too_many_connections(self) -> None:
        self.make_site({"web_connections": 3})
        self.submit(infohash(1))
        waiting, dawdling, idle = self.connect(), self.connect(), self.connect()
        waiting.send(request_bytes("GET", f"/api/v1/magnets/{infohash(1)}?wait=60"))
        dawdling.send(b"GET /healthz HTTP/1.1\r\n")
        idle.send(request_bytes("GET", "/healthz"))
        self.assertIsNotNone(self.wait_too().channel, "the idle one gives way first")
        self.assertEqual([one.transport.aborted for one in (waiting, dawdling, idle)], [False, False, True])
        idle.hang_up()
        self.assertIsNotNone(self.wait_too().channel, "then the one that dawdles")
        self.assertEqual([one.transport.aborted for one in (waiting, dawdling)], [False, True])
        dawdling.hang_up()
        self.assertIsNone(self.connect().channel, "but none that has a request")
        waiting.hang_up()
        self.assertIsNotNone(self.connect().channel)

    def wait_too(self) -> Connection:
        connection = self.connect()
        if connection.channel is not None:
            connection.send(request_bytes("GET", f"/api/v1/magnets/{infohash(1)}?wait=60"))
        return connection
