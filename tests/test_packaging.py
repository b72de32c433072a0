"""What setup.cfg promises, and what the layout must keep for both kinds of install and both test runners."""

from __future__ import annotations

import ast
import configparser
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import functorrent

ROOT = Path(__file__).parent.parent


class LayoutTests(SynchronousTestCase):
    """Where an ``__init__.py`` must stand, and where it must not."""

    def test_twisted_stays_a_namespace(self) -> None:
        """One here would hide the real Twisted behind ours."""
        self.assertEqual(list((ROOT / "twisted").rglob("__init__.py")), [])

    def test_every_folder_of_ours_is_a_package(self) -> None:
        folders = {path.parent for path in (ROOT / "functorrent").rglob("*.py")}
        self.assertEqual([str(folder) for folder in folders if not (folder / "__init__.py").exists()], [])

    def test_trial_sees_every_unit_test(self) -> None:
        """trial walks packages only: a folder without ``__init__.py`` would be passed by in silence."""
        integration = ROOT / "tests" / "integration"
        folders = {path.parent for path in (ROOT / "tests").rglob("test_*.py")}
        folders = {folder for folder in folders if not folder.is_relative_to(integration)}
        self.assertIn(ROOT / "tests", folders)
        self.assertEqual([str(folder) for folder in folders if not (folder / "__init__.py").exists()], [])
        self.assertFalse((integration / "__init__.py").exists(), "trial would import it")

    def test_no_asynchronous_trial_tests(self) -> None:
        """After a pytest-twisted test, one of those fails with a dirty reactor."""
        for path in (ROOT / "tests").rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef):
                    bases = [ast.unparse(base).rpartition(".")[2] for base in node.bases]
                    self.assertNotIn("TestCase", bases, f"{path.name}: {node.name}")


class MetadataTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.config = configparser.ConfigParser()
        self.config.read(ROOT / "setup.cfg", encoding="utf-8")

    def test_version_is_read_without_importing_anything(self) -> None:
        self.assertEqual(self.config["metadata"]["version"], "attr: functorrent.__version__")
        tree = ast.parse(Path(functorrent.__file__).read_text(encoding="utf-8"))
        found = [
            node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            and ast.unparse(node.targets[0]) == "__version__"
            and isinstance(node.value, ast.Constant)
        ]
        self.assertEqual(found, [functorrent.__version__])

    def test_editable_installs_keep_the_plugin(self) -> None:
        self.assertEqual(self.config["options"]["package_dir"].split(), ["=", "."])
        self.assertEqual(self.config["options"]["packages"], "find_namespace:")
        self.assertIn("twisted.plugins", self.config["options.packages.find"]["include"].split())

    def test_what_extras_are_called(self) -> None:
        """README and .ci/run name these."""
        self.assertEqual(sorted(self.config["options.extras_require"]), ["dev", "test"])


class ImportTests(SynchronousTestCase):
    """What an import costs, in a fresh interpreter."""

    def modules_after(self, statement: str) -> set[str]:
        code = f"import sys\n{statement}\nprint(*sys.modules)"
        run = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
        )
        return set(run.stdout.split())

    def test_the_package_imports_nothing(self) -> None:
        loaded = self.modules_after("import functorrent; functorrent.__version__; dir(functorrent)")
        self.assertEqual({name for name in loaded if name.startswith("functorrent")}, {"functorrent"})
        self.assertNotIn("twisted", loaded)

    def test_wire_loads_no_twisted(self) -> None:
        names = [path.stem for path in (ROOT / "functorrent" / "wire").glob("[a-z]*.py")]
        loaded = self.modules_after(f"from functorrent.wire import {', '.join(names)}")
        self.assertIn("functorrent.wire.framing", loaded)
        self.assertEqual({name for name in loaded if name.partition(".")[0] == "twisted"}, set())

    def test_the_library_installs_no_reactor(self) -> None:
        names = ", ".join(name for name in functorrent.__all__ if name != "__version__")
        loaded = self.modules_after(f"from functorrent import {names}")
        self.assertNotIn("twisted.internet.reactor", loaded)

    def test_only_the_daemon_pays_for_what_only_it_needs(self) -> None:
        """Neither the command, nor what writes its files, nor the list of twistd's commands."""
        heavy = {"sqlalchemy", "alembic", "klein", "prometheus_client"}
        for statement in (
            "import functorrent.cli, functorrent.commands.fetch, functorrent.commands.run",
            "import functorrent.store.files, functorrent.store.jobs, functorrent.store.interfaces",
            "import functorrent.testing",
            "import twisted.plugins.functorrent_metafetch",
        ):
            self.assertEqual(self.modules_after(statement) & heavy, set(), statement)
        self.assertIn("sqlalchemy", self.modules_after("import functorrent.store.database"))

    def test_every_public_name_is_there(self) -> None:
        for name in functorrent.__all__:
            self.assertIsNotNone(getattr(functorrent, name))

    def test_unknown_names_are_attribute_errors(self) -> None:
        self.assertRaises(AttributeError, getattr, functorrent, "no_such_name")
