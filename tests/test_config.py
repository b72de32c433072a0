"""Options from the environment and from a TOML file, beneath the command line's."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from functorrent import options
from functorrent.config import blamed, fill_in
from functorrent.errors import UsageError
from functorrent.options import DAEMON, options_of
from tests.commands_bed import FolderTestCase

EXAMPLE = Path(__file__).parent.parent / "tap" / "metafetch.toml"


class ConfigTestCase(FolderTestCase):
    def setUp(self) -> None:
        self.path = os.path.join(self.folder(), "metafetch.toml")

    def parsed(self, *arguments: str, file: str | bytes | None = None, **environ: str) -> Any:
        """Options of these arguments, this file, and METAFETCH_ variables."""
        if file is not None:
            Path(self.path).write_bytes(file.encode() if isinstance(file, str) else file)
            arguments = (*arguments, "--config", self.path)
        values = options.twisted_options()()
        values.parseOptions(list(arguments))
        self.origins = fill_in(values, {f"METAFETCH_{name}": value for name, value in environ.items()})
        return values

    def complaint(self, *arguments: str, file: str | bytes | None = None, **environ: str) -> str:
        error = self.assertRaises(UsageError, self.parsed, *arguments, file=file, **environ)
        self.assertNotIn("\n", str(error))
        return str(error)


class PrecedenceTests(ConfigTestCase):
    def test_the_nearer_place_wins(self) -> None:
        file = 'jobs = 1\ntimeout = 1\nlinger = 1.5\nmax-metadata = "2M"\n'
        values = self.parsed("--jobs=3", file=file, JOBS="2", TIMEOUT="2")
        self.assertEqual((values["jobs"], values["timeout"], values["linger"]), (3, 2.0, 1.5))
        self.assertEqual(values["max-metadata"], 2 << 20)
        self.assertEqual(
            self.origins,
            {
                "timeout": "METAFETCH_TIMEOUT",
                "linger": f"linger in {self.path}",
                "max-metadata": f"max-metadata in {self.path}",
            },
        )

    def test_a_value_that_is_the_default_counts_as_given(self) -> None:
        self.assertEqual(self.parsed("--jobs=200", file="jobs = 1", JOBS="2")["jobs"], 200)

    def test_lists_are_taken_whole(self) -> None:
        file = 'tracker = ["udp://file.example:1"]\npeer = ["[::1]:80"]\nhttp-host = ["A.example"]'
        values = self.parsed(
            "--peer=192.0.2.1:6881",
            file=file,
            TRACKER=" udp://a.example:1\nhttp://b.example/c\tudp://d.example:2 ",
        )
        self.assertEqual(values["tracker"], ["udp://a.example:1", "http://b.example/c", "udp://d.example:2"])
        self.assertEqual(values["peer"], [("192.0.2.1", 6881)])
        self.assertEqual(values["http-host"], ["a.example"])

    def test_flags(self) -> None:
        self.assertTrue(self.parsed(file="allow-local = true")["allow-local"])
        self.assertFalse(self.parsed(file="allow-local = true", ALLOW_LOCAL="0")["allow-local"])
        self.assertTrue(
            self.parsed("--allow-local", file="allow-local = false", ALLOW_LOCAL="no")["allow-local"]
        )
        for word in ("1", "true", "YES", " on "):
            self.assertTrue(self.parsed(ALLOW_LOCAL=word)["allow-local"], word)

    def test_the_file_named_by_the_environment(self) -> None:
        Path(self.path).write_text("jobs = 5")
        self.assertEqual(self.parsed(CONFIG=self.path)["jobs"], 5)
        other = os.path.join(self.folder(), "other.toml")
        Path(other).write_text("jobs = 6")
        self.assertEqual(self.parsed("--config", other, CONFIG=self.path)["jobs"], 6)

    def test_an_empty_variable_is_none(self) -> None:
        values = self.parsed(JOBS="", TRACKER=" ", ALLOW_LOCAL="", CONFIG="")
        self.assertEqual((values["jobs"], values["tracker"], values["allow-local"]), (200, [], False))
        self.assertEqual(self.origins, {})

    def test_other_variables_are_left_alone(self) -> None:
        values = options.twisted_options()()
        fill_in(values, {"PATH": "/bin", "METAFETCHER_X": "1", "metafetch_jobs": "3"})
        self.assertEqual(values["jobs"], 200)

    def test_what_kubernetes_puts_there_is_left_alone(self) -> None:
        self.parsed(
            SERVICE_HOST="10.0.0.1", SERVICE_PORT="9667", SERVICE_PORT_HTTP="9667", PORT="tcp://10.0.0.1:9667",
            PORT_9667_TCP="tcp://10.0.0.1:9667", PORT_9667_TCP_ADDR="10.0.0.1",
        )  # fmt: skip
        self.assertIn("METAFETCH_PORT: there is no such variable", self.complaint(PORT="9667"))


class ComplaintTests(ConfigTestCase):
    def test_unknown_names(self) -> None:
        self.assertEqual(
            self.complaint(TRACKERS="x"),
            "METAFETCH_TRACKERS: there is no such variable: did you mean METAFETCH_TRACKER?",
        )
        self.assertEqual(self.complaint(XYZZY="x"), "METAFETCH_XYZZY: there is no such variable")
        self.assertEqual(
            self.complaint(file="max_metadata = 1"),
            f"{self.path}: there is no option max_metadata: did you mean max-metadata?",
        )
        self.assertEqual(
            self.complaint(file="[fetch]\njobs=1")[len(self.path) :],
            ": there is no option fetch: did you mean on-fetched?",
        )
        self.assertIn("there is no option config", self.complaint(file="config = 'x'"))
        # Options of the command alone.
        self.assertIn("no option quiet", self.complaint(file="quiet = true"))

    def test_wrong_values_say_where_they_stand(self) -> None:
        self.assertEqual(
            self.complaint(JOBS="many"),
            "METAFETCH_JOBS: 'many' will not do: give a whole number from 1 to 100000",
        )
        self.assertEqual(
            self.complaint(file="jobs = 0"),
            f"jobs in {self.path}: '0' will not do: give a whole number from 1 to 100000",
        )
        self.assertTrue(
            self.complaint(TRACKER="udp://a.example:1 nonsense").startswith("METAFETCH_TRACKER: 'nonsense'")
        )
        self.assertTrue(self.complaint(file='listen = ["x"]').startswith(f"listen in {self.path}: 'x'"))

    def test_wrong_types(self) -> None:
        cases = {
            "jobs = true": "give a number",
            "jobs = [1]": "give a number",
            "jobs = 1.5": "whole number",
            "timeout = nan": "give seconds",
            "dial-rate = {}": "give a number",
            "watch = 5": 'give a string, as "DIR"',
            "watch = 2026-01-01": 'give a string, as "DIR"',
            "tracker = 'udp://a.example:1'": 'give a list of strings, as ["URL"]',
            "peer = [5]": 'give a list of strings, as ["HOST:PORT"]',
            "allow-local = 1": "give true or false",
            "allow-local = 'yes'": "give true or false",
        }
        for line, mend in cases.items():
            with self.subTest(line=line):
                said = self.complaint(file=line)
                self.assertTrue(said.startswith(f"{line.partition(' ')[0]} in {self.path}: "), said)
                self.assertIn(mend, said)
        self.assertEqual(self.complaint(SHARD="maybe"), "METAFETCH_SHARD: maybe will not do: give 1 or 0")

    def test_what_is_overruled_is_read_all_the_same(self) -> None:
        self.complaint("--jobs=3", JOBS="x")
        self.complaint("--jobs=3", file="jobs = 'x'")

    def test_files_that_cannot_be_read(self) -> None:
        self.assertEqual(
            self.complaint("--config", self.path),
            f"--config {self.path}: cannot be read: No such file or directory",
        )
        self.assertTrue(
            self.complaint(CONFIG=self.path).startswith(f"METAFETCH_CONFIG {self.path}: cannot be read")
        )
        self.assertIn("is no TOML: ", self.complaint(file="jobs = "))
        self.assertIn("at line 2, column", self.complaint(file="jobs = 1\njobs 2"))
        self.assertIn("is no TOML: ", self.complaint(file=b"\xff"))

    def test_errors_of_several_options_are_blamed(self) -> None:
        self.parsed(LISTEN="off tcp:1")
        error = UsageError("--listen: 'off' goes with no other")
        self.assertEqual(
            str(blamed(error, self.origins)), "METAFETCH_LISTEN: --listen: 'off' goes with no other"
        )
        other = UsageError("--jobs: x")
        self.assertIs(blamed(other, self.origins), other)

    @given(
        st.dictionaries(
            st.one_of(
                st.sampled_from([option.name for option in options_of(DAEMON)]),
                st.text("abc-_", min_size=1, max_size=6),
            ),
            st.one_of(
                st.booleans(),
                st.integers(),
                st.text("ab1 .:/*\x1b", max_size=9),
                st.lists(st.integers(), max_size=2),
            ),
            max_size=3,
        )
    )
    @settings(deadline=None, derandomize=True, max_examples=60)
    def test_any_file_is_options_or_one_line(self, table: dict[str, Any]) -> None:
        def toml(value: Any) -> str:
            if isinstance(value, str):
                return '"' + "".join(f"\\u{ord(c):04x}" for c in value) + '"'
            return str(value).lower()

        try:
            self.parsed(file="".join(f"{key} = {toml(value)}\n" for key, value in table.items()))
        except UsageError as error:
            self.assertNotIn("\n", str(error))
            self.assertTrue(str(error).isprintable(), str(error))


class ExampleTests(ConfigTestCase):
    """tap/metafetch.toml."""

    def lines(self) -> list[tuple[str, bool]]:
        """The options it shows: (line of TOML, whether the option has a default)."""
        shown = re.findall(
            r"^# ([a-z-]+ = [^#\n]*?) *(# no default)?$", EXAMPLE.read_text(encoding="utf-8"), re.M
        )
        return [(line, not none) for line, none in shown]

    def test_it_names_every_option_with_its_default(self) -> None:
        table = {option.name: option for option in options_of(DAEMON) if option.name != "config"}
        seen = []
        for line, has_default in self.lines():
            ((name, _),) = tomllib.loads(line).items()
            seen.append(name)
            option = table[name]
            self.assertEqual(has_default, option.many or option.default is not None, name)
            if has_default:
                default = [] if option.many else option.default
                self.assertEqual(self.parsed(file=line)[name], default, name)
            else:
                self.assertIn(f'"{option.metavar}"', line)
        self.assertEqual(sorted(seen), sorted(table))

    def test_as_it_stands_it_changes_nothing(self) -> None:
        values = self.parsed(file=EXAMPLE.read_bytes())
        self.assertEqual(self.origins, {})
        self.assertEqual(values["jobs"], 200)


class TapTests(ConfigTestCase):
    """The other files of tap/ that name options."""

    def test_the_variables_of_the_image(self) -> None:
        text = (EXAMPLE.parent / "Dockerfile").read_text(encoding="utf-8")
        variables = dict(re.findall(r"^ +METAFETCH_([A-Z_]+)=(\S+?)(?: \\)?$", text, re.M))
        self.assertEqual(set(variables), {"DATA", "WATCH", "LISTEN", "HTTP", "TOKEN_FILE"})
        values = self.parsed(**variables)
        # What listens on all addresses does not start without a token.
        self.assertEqual((values["http"], values["token-file"]), ("tcp:9667", "/data/token"))
        ports = re.search(r"^EXPOSE (.*)$", text, re.M)
        assert ports is not None
        self.assertEqual(ports[1].split(), ["6881", "6881/udp", "9667"])

    def test_the_options_of_the_unit(self) -> None:
        text = (EXAMPLE.parent / "metafetch.service").read_text(encoding="utf-8")
        start = text.partition("\nExecStart=")[2].partition("metafetch \\\n")[2].partition("\n#")[0]
        given = [word for word in start.split() if word.startswith("--")]
        values = options.twisted_options()()
        values.parseOptions(given)
        self.assertEqual((values["data"], values["config"]), ("/var/lib/metafetch", "/etc/metafetch.toml"))
