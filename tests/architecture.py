"""The rules that tests/test_architecture.py enforces: laws 1 to 3 of docs/architecture.md.

`violations(sources)` is a pure function from source texts to sentences, so that each rule is tested
on a few lines that break it as well as on the real tree. Imports are read from the syntax tree,
wherever they stand (a lazy upward import is an upward import); those under ``if TYPE_CHECKING:``
bind no module to another and are left out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "functorrent"

#: Law 1, from the ground up. A module is placed by the longest of these names that it begins with.
#: Those in one row may import each other, but for ISLANDS.
LAYERS: tuple[tuple[str, ...], ...] = (
    (
        "errors",
        "limits",
        "interfaces",
        "addresses",
        "text",
        "lines",
        "seen",
        "deadlines",
        "resolver",
        "rates",
        "plugins",
    ),
    ("wire",),
    ("infohash", "magnet", "metainfo"),
    ("peer", "sources", "store"),
    ("fetch",),
    ("daemon",),
    ("web",),
    ("cli", "commands", "options", "config", "progress", "tap", "testing", "demo", "__main__"),
)
#: They meet through interfaces, and never import each other.
ISLANDS = ("peer", "sources", "store")
#: Neither these nor anything they import may import Twisted.
SANS_IO = ("wire",)
#: The package itself exports lazily by name, so it is above and below everything; inside it only
#: these may be taken from it.
FACADE_NAMES = frozenset({"__version__"})

#: Law 2: where the global reactor may be imported, as module and the function it must stand in.
REACTOR_PLACES = frozenset({("tap", "makeService"), ("cli", "main")})
#: Calls that use the global reactor without naming it.
REACTOR_BEHIND = {
    "twisted.internet.task.react": "imports the global reactor",
    "twisted.internet.threads.deferToThread": "uses the global reactor and its thread pool",
    "twisted.internet.threads.blockingCallFromThread": "blocks a thread on the reactor",
    **{f"treq.{verb}": "uses the global reactor" for verb in ("get", "head", "post", "put", "request")},
}

#: Law 3: the clocks of the process, and who may read them.
CLOCKS = frozenset(
    {
        "time.time",
        "time.time_ns",
        "time.monotonic",
        "time.monotonic_ns",
        "time.perf_counter",
        "time.sleep",
        "datetime.datetime.now",
        "datetime.datetime.utcnow",
        "datetime.datetime.today",
        "datetime.date.today",
    }
)
CLOCK_PLACES: Mapping[str, frozenset[str]] = {
    # Where a clock is chosen and handed on.
    "cli": frozenset({"time.monotonic", "time.time"}),
    "tap": frozenset({"time.monotonic", "time.time"}),
}

#: Never, anywhere: by dotted name, with the reason.
FORBIDDEN = {
    "random": "a stranger may predict it; use secrets",
    "twisted.internet.defer.inlineCallbacks": "async def inside, a Deferred at the edge",
}


@dataclass(frozen=True)
class Use:
    """A dotted name that a module imports or reaches through an import; where, in which function."""

    name: str
    line: int
    function: str | None


def read_tree(root: Path) -> dict[str, str]:
    """Module name (as ``functorrent.wire.framing``) to source, for every file under `root`."""
    sources: dict[str, str] = {}
    for path in sorted(root.rglob("*.py")):
        parts = [root.name, *path.relative_to(root).with_suffix("").parts]
        if parts[-1] == "__init__":
            parts.pop()
        sources[".".join(parts)] = path.read_text(encoding="utf-8")
    return sources


def layer_of(module: str) -> tuple[int, str] | None:
    """The height of a module's row, and its name in the row; None where no row names it."""
    inner = module.removeprefix(PACKAGE + ".")
    for height, row in enumerate(LAYERS):
        for name in row:
            if inner == name or inner.startswith(name + "."):
                return height, name
    return None


def violations(sources: Mapping[str, str]) -> list[str]:
    """One sentence, beginning ``module:line``, for each place where `sources` break a law."""
    uses = {
        module: list(_uses(ast.parse(source), module, _is_package(module, sources)))
        for module, source in sources.items()
    }
    found: list[str] = []
    for module in sources:
        if module != PACKAGE and layer_of(module) is None:
            found.append(f"{module}:1 stands in no layer; give it a place in LAYERS")
        for use in uses[module]:
            found.extend(f"{module}:{use.line} {what}" for what in _judge(module, use, sources))
    found.extend(_twisted_below(SANS_IO, uses, sources))
    return list(dict.fromkeys(found))


def _is_package(module: str, sources: Mapping[str, str]) -> bool:
    return any(other.startswith(module + ".") for other in sources)


def _judge(module: str, use: Use, sources: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with one use, if anything."""
    inner = module.removeprefix(PACKAGE + ".")
    if use.name == PACKAGE or use.name.startswith(PACKAGE + "."):
        yield from _judge_order(module, use.name, sources)
        return
    for name, why in FORBIDDEN.items():
        if _reaches(use.name, name):
            yield f"uses {name}: {why}"
    if _reaches(use.name, "twisted.internet.reactor") and (inner, use.function) not in REACTOR_PLACES:
        yield f"imports the global reactor in {use.function or 'the module'}; take it as an argument"
    for name, why in REACTOR_BEHIND.items():
        if _reaches(use.name, name) and (inner, use.function) not in REACTOR_PLACES:
            yield f"uses {name}, which {why}"
    if use.name in CLOCKS and use.name not in CLOCK_PLACES.get(inner, ()):
        yield f"reads the process's own clock ({use.name}); use an injected one"


def _judge_order(module: str, name: str, sources: Mapping[str, str]) -> Iterator[str]:
    """Law 1 for one import of our own."""
    target = _module_of(name, sources)
    if target == PACKAGE:
        taken = name.removeprefix(PACKAGE).lstrip(".")
        if taken not in FACADE_NAMES and module != PACKAGE:
            yield f"imports {taken or PACKAGE} from the package, which exports what is above"
        return
    here, there = layer_of(module), layer_of(target)
    if module == PACKAGE:
        yield f"imports {target}; the package must cost nothing to import"
    elif here is not None and there is not None:
        if there[0] > here[0]:
            yield f"imports {target}, which is above it"
        elif here[1] in ISLANDS and there[1] in ISLANDS and here[1] != there[1]:
            yield f"imports {target}: {here[1]} and {there[1]} meet through interfaces"


def _module_of(name: str, sources: Mapping[str, str]) -> str:
    """The module that a dotted name of ours belongs to."""
    while name not in sources and "." in name:
        name = name.rpartition(".")[0]
    return name


def _reaches(used: str, name: str) -> bool:
    return used == name or used.startswith(name + ".")


def _twisted_below(
    tops: tuple[str, ...], uses: Mapping[str, list[Use]], sources: Mapping[str, str]
) -> Iterator[str]:
    """Where the sans-IO part, or anything it imports, imports Twisted."""
    waiting = [m for m in sources if any(_reaches(m, f"{PACKAGE}.{top}") for top in tops)]
    seen = set(waiting)
    while waiting:
        module = waiting.pop()
        for use in uses[module]:
            if _reaches(use.name, "twisted"):
                yield f"{module}:{use.line} imports {use.name}, and {' and '.join(tops)} must do without"
            elif _reaches(use.name, PACKAGE):
                target = _module_of(use.name, sources)
                if target not in seen and target in uses:
                    seen.add(target)
                    waiting.append(target)


# -- reading a syntax tree ---------------------------------------------------------------------


def _uses(tree: ast.Module, module: str, is_package: bool) -> Iterator[Use]:
    """Everything that a module imports, and every attribute it reaches through those imports."""
    names: dict[str, str] = {}
    attributes: list[Use] = []
    for node, function in _walk(tree, None):
        if isinstance(node, ast.Import):
            for alias in node.names:
                # `import a.b` binds a, `import a.b as c` binds c to a.b.
                names[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
                yield Use(alias.name, node.lineno, function)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, module, is_package)
            for alias in node.names:
                name = base if alias.name == "*" else f"{base}.{alias.name}"
                names[alias.asname or alias.name] = name
                yield Use(name, node.lineno, function)
        elif isinstance(node, ast.Call):
            named = _named_import(node)
            if named is not None:
                yield Use(named, node.lineno, function)
        elif isinstance(node, ast.Attribute):
            dotted = _dotted(node)
            if dotted is not None:
                attributes.append(Use(dotted, node.lineno, function))
    for use in attributes:
        head, _, rest = use.name.partition(".")
        if head in names and not _reaches(names[head], PACKAGE):
            yield Use(f"{names[head]}.{rest}", use.line, use.function)


def _walk(node: ast.AST, function: str | None) -> Iterator[tuple[ast.AST, str | None]]:
    """Every node with the outermost function around it, without ``if TYPE_CHECKING`` bodies."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and _is_type_checking(child.test):
            for other in child.orelse:
                yield other, function
                yield from _walk(other, function)
            continue
        inside = function
        if function is None and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            inside = child.name
        yield child, inside
        yield from _walk(child, inside)


def _is_type_checking(test: ast.expr) -> bool:
    return _dotted(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _absolute(node: ast.ImportFrom, module: str, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    keep = len(parts) - node.level + (1 if is_package else 0)
    return ".".join([*parts[:keep], *([node.module] if node.module else [])])


def _named_import(call: ast.Call) -> str | None:
    """The module that ``import_module("a.b")`` and its like name with a constant."""
    called = (_dotted(call.func) or "").rpartition(".")[2]
    if called in ("import_module", "__import__", "namedAny", "namedModule") and call.args:
        first = call.args[0]
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            return first.value
    return None


def _dotted(node: ast.expr) -> str | None:
    """``a.b.c`` of a chain of names; None for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        head = _dotted(node.value)
        return None if head is None else f"{head}.{node.attr}"
    return None
