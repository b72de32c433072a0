"""The table of options."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from functorrent import options
from functorrent.commands.parser import Parser
from functorrent.errors import UsageError
from functorrent.limits import DEFAULT_LIMITS


def parse(*arguments: str) -> dict[str, Any]:
    parser = Parser("fetch", "")
    options.add_arguments(parser)
    return {key.replace("_", "-"): value for key, value in vars(parser.parse_args(arguments)).items()}


def parse_twisted(*arguments: str) -> Any:
    config = options.twisted_options()()
    config.parseOptions(list(arguments))
    return config


GIVEN = (
    "--tracker", "udp://t.example:1", "--tracker", "http://u.example/a", "--save-trackers",
    "--peer", "[::1]:80", "--jobs", "7", "--timeout", "1.5", "--linger", "0", "--listen", "6881",
    "--max-connections", "9", "--dial-rate", ".5", "--max-metadata", "2M", "--allow-local",
)  # fmt: skip


class TableTests(SynchronousTestCase):
    def test_defaults_are_those_of_limits(self) -> None:
        for name in ("jobs", "timeout", "linger", "max-metadata"):
            option = next(option for option in options.OPTIONS if option.name == name)
            limit = getattr(DEFAULT_LIMITS, option.key)
            self.assertEqual(option.default, limit, name)
            shown = f"{limit >> 20}M" if name == "max-metadata" else f"{limit:g}"
            self.assertIn(f"(default: {shown})", option.help)

    def test_command_and_daemon_make_the_same_settings(self) -> None:
        for given_options in ((), GIVEN):
            command, daemon = parse(*given_options), parse_twisted(*given_options)
            self.assertEqual(options.fetch_settings(command), options.fetch_settings(daemon))

    def test_settings(self) -> None:
        made = options.fetch_settings(parse(*GIVEN))
        self.assertEqual(made.trackers, ("udp://t.example:1", "http://u.example/a"))
        self.assertEqual(made.peers, (("::1", 80),))
        self.assertEqual((made.jobs, made.timeout, made.linger), (7, 1.5, 0.0))
        self.assertEqual((made.listen, made.max_connections), (("tcp:6881",), 9))
        self.assertEqual((made.dial_rate, made.max_metadata), (0.5, 2 << 20))
        self.assertTrue(made.save_trackers and made.allow_local)

    def test_lists_are_not_shared(self) -> None:
        parse("--tracker", "udp://t.example:1")
        parse_twisted("--tracker", "udp://t.example:1")
        self.assertEqual(parse()["tracker"], [])
        self.assertEqual(parse_twisted()["tracker"], [])

    def test_places(self) -> None:
        command = {option.name for option in options.options_of(options.COMMAND)}
        daemon = {option.name for option in options.options_of(options.DAEMON)}
        self.assertEqual(command - daemon, {"input", "failed", "json", "lsd", "quiet"})
        self.assertEqual(
            daemon - command,
            {
                "config", "data", "give-up-after", "http", "http-host", "log-format", "no-lsd", "on-fetched",
                "on-fetched-secret-file", "shard", "token-file", "watch",
            },
        )  # fmt: skip


class WrongUsageTests(SynchronousTestCase):
    def test_each_wrong_value_is_named_and_mended(self) -> None:
        cases = {
            "--jobs": ("0", "x", "1e3", "-1", "", "1.5", "100001", "9" * 40),
            "--timeout": ("0", "-1", "x", "nan", "inf", "", ".", "1e9"),
            "--max-metadata": ("1", "x", "32Q", "2G", ""),
            "--dial-rate": ("0", "x"),
            "--peer": ("x", "x:0", "x:65536", ":1", "::1:80", "[::1]", "1.2.3.4:x"),
            "--tracker": ("x", "wss://t.example", "udp://t.example", "http://", "http://[::1", "ftp://x/a"),
            "--listen": ("tcp:65536", "udp:1", "tcp:x", "systemd:", ""),
            "--dht-bootstrap": ("x", "x:0", "::1:80"),
            "--dht-rate": ("0", ".9", "100001", "x"),
            "--extra-trackers": (
                "", " ", "ftp://x/list", "http://", "http://[::1", "https://x:0/", "http://x/ä", "http://x/ y"
            ),
            "--name": ("x.torrent", "../{name}", "{evil}", "{infohash.x}"),
        }  # fmt: skip
        for option, values in cases.items():
            for value in values:
                with self.subTest(option=option, value=value):
                    error = self.assertRaises(UsageError, parse, f"{option}={value}")
                    self.assertTrue(str(error).startswith(f"{option}: "), str(error))
                    self.assertNotIn("\n", str(error))
                    twisted = self.assertRaises(usage.UsageError, parse_twisted, f"{option}={value}")
                    self.assertEqual(str(twisted), str(error))

    def test_the_daemon_s_own(self) -> None:
        cases = {
            "--give-up-after": ("-1", "x", "7w", "", "1e3", "9999d", "1.d"),
            "--http": ("tcp:65536", "http://x", ""),
            "--http-host": ("", "http://x", "x:80", "a b", "x/", "[::1", ".x", "x" * 300),
            "--on-fetched": (
                "", "x", "ftp://x/", "http://", "http://u:p@x/", "http://x/#a", "http://[::1", "http://x:0/",
                "http://x:99999/", "http://x/ä", "http://x/ y", "http://x/" + "y" * 3000,
            ),
            "--log-format": ("", "JSON", "xml"),
        }  # fmt: skip
        for option, values in cases.items():
            for value in values:
                with self.subTest(option=option, value=value):
                    error = self.assertRaises(usage.UsageError, parse_twisted, f"{option}={value}")
                    self.assertTrue(str(error).startswith(f"{option}: "), str(error))
                    self.assertNotIn("\n", str(error))

    def test_a_secret_for_nothing(self) -> None:
        given_options = parse_twisted("--on-fetched-secret-file", "x")
        self.assertRaises(UsageError, options.check_daemon, given_options)
        options.check_daemon(parse_twisted("--on-fetched-secret-file", "x", "--on-fetched", "http://x/"))

    def test_unknown_options_have_a_hint(self) -> None:
        error = self.assertRaises(UsageError, parse, "--time-out", "5")
        self.assertIn("did you mean --timeout?", str(error))
        self.assertRaises(UsageError, parse, "--jo", "5")
        self.assertIn("functorrent fetch --help", str(self.assertRaises(UsageError, parse, "--jobs")))

    def test_options_that_do_not_fit_together(self) -> None:
        for given_options in (("--listen", "off", "--listen", "tcp:1"), ("--save-trackers",)):
            self.assertRaises(UsageError, options.fetch_settings, parse(*given_options))

    @given(st.sampled_from([option for option in options.OPTIONS if option.metavar]), st.text(max_size=30))
    @settings(deadline=None, derandomize=True, max_examples=100)
    def test_any_text_is_a_value_or_a_usage_error(self, option: options.Option, text: str) -> None:
        try:
            option.convert(text)
        except UsageError:
            pass


class ValueTests(SynchronousTestCase):
    def test_values(self) -> None:
        self.assertEqual(options.size(1, 1 << 40)("500k"), 500 << 10)
        self.assertEqual(options.size(1, 1 << 40)("1GiB"), 1 << 30)
        self.assertEqual(options.peer("h.example:1"), ("h.example", 1))
        self.assertEqual(options.endpoint("6881"), "tcp:6881")
        self.assertEqual(options.endpoint("tcp6:port=1:interface=\\:\\:1"), "tcp6:port=1:interface=\\:\\:1")
        self.assertEqual(options.endpoint("off"), "off")
        self.assertEqual(options.tracker("udp://[::1]:6969"), "udp://[::1]:6969")
        duration = options.duration(0, 1e9)
        self.assertEqual([duration(each) for each in ("3600", "90s", "30m", "12H", "7d", "1.5d", "0")],
                         [3600, 90, 1800, 43_200, 604_800, 129_600, 0])  # fmt: skip
        self.assertEqual(
            [
                options.host(each)
                for each in ("Fetch.Example", "10.0.0.1", "[2001:DB8::1]", "::1", "a", "my_nas")
            ],
            ["fetch.example", "10.0.0.1", "2001:db8::1", "::1", "a", "my_nas"],
        )
        for url in ("https://r.example/hook?a=b", "http://[::1]:8080", "http://10.0.0.1/%20"):
            self.assertEqual(options.web_url(url), url)
        for where in ("trackers.txt", "/etc/trackers", "c:x", "https://u.example:8443/best.txt?a=b#c"):
            self.assertEqual(options.tracker_list(where), where)
        self.assertEqual(options.template("{name} {infohash}.torrent"), "{name} {infohash}.torrent")
