"""The daemon's options from a TOML file and from the environment, beneath those of the command line.

The nearer place wins as a whole: a list on the command line takes the place of the file's, it is not
added to it. Names in the file are the options' own (``max-metadata = "32M"``); those of the environment
are METAFETCH_MAX_METADATA and so on.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from functorrent.errors import UsageError
from functorrent.options import DAEMON, Option, options_of

PREFIX = "METAFETCH_"
_YES = frozenset(("1", "true", "yes", "on"))
_NO = frozenset(("0", "false", "no", "off"))
#: What Kubernetes puts into each pod where a service is called "metafetch"; nobody meant us by it.
_OF_KUBERNETES = re.compile(
    "METAFETCH_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)


def fill_in(values: Any, environ: Mapping[str, str]) -> dict[str, str]:
    """Give `values` what the command line left open.

    `values`: a parsed object of `options.twisted_options()`. Returns from where each value came that the
    command line did not give: the option's name to words as ``METAFETCH_JOBS`` or ``jobs in FILE``.
    Raises UsageError, which begins with those words.
    """
    table = {option.name: option for option in options_of(DAEMON)}
    origins: dict[str, str] = {}
    given = set(values.given) | {
        name for name, option in table.items() if not option.metavar and values[name]
    }

    def take(option: Option, value: Any, origin: str) -> None:
        if option.name not in given:
            given.add(option.name)
            values[option.name] = value
            origins[option.name] = origin

    # All are read, those too that a nearer place overrules: a typing error is said at once, not on the
    # day when the other goes.
    for option, text, origin in _of_environment(table, environ):
        take(option, _of_text(option, text, origin), origin)
    path = values["config"]
    if path is not None:
        lead = f"{origins.get('config', '--config')} {path}"
        for key, value in _read(path, lead).items():
            if key not in table or key == "config":
                raise UsageError(
                    f"{path}: there is no option {_shown(key)}{_like(key, set(table) - {'config'})}"
                )
            origin = f"{key} in {path}"
            take(table[key], _of_toml(table[key], value, origin), origin)
    return origins


def blamed(error: UsageError, origins: Mapping[str, str]) -> UsageError:
    """`error`, whose words begin with an option (``--jobs: ...``), led by where its value came from."""
    match = re.match("--([a-z-]+)", str(error))
    origin = origins.get(match[1]) if match else None
    return error if origin is None else UsageError(f"{origin}: {error}")


def _of_environment(
    table: Mapping[str, Option], environ: Mapping[str, str]
) -> Iterable[tuple[Option, str, str]]:
    variables = {PREFIX + option.key.upper(): option for option in table.values()}
    for name in sorted(environ):
        if not name.startswith(PREFIX):
            continue
        option = variables.get(name)
        if option is not None:
            # Empty is as good as not there: so compose files and unit files leave a variable out.
            if environ[name].strip():
                yield option, environ[name], name
        elif not _OF_KUBERNETES.fullmatch(name) and not (
            name == "METAFETCH_PORT" and environ[name].startswith(("tcp://", "udp://"))
        ):
            # Compared without what all have in front, which would make any two alike.
            like = _like(name.removeprefix(PREFIX), [each.removeprefix(PREFIX) for each in variables])
            like = like.replace("mean ", f"mean {PREFIX}")
            raise UsageError(f"{_shown(name)}: there is no such variable{like}")


def _of_text(option: Option, text: str, origin: str) -> Any:
    """The value of a variable."""
    if option.metavar is None:
        word = text.strip().lower()
        if word not in _YES | _NO:
            raise UsageError(f"{origin}: {_shown(text)} will not do: give 1 or 0")
        return word in _YES
    if option.many:
        return [_converted(option, word, origin) for word in text.split()]
    return _converted(option, text.strip(), origin)


def _of_toml(option: Option, value: Any, origin: str) -> Any:
    """A value of the file."""
    if option.metavar is None:
        if not isinstance(value, bool):
            raise _wrong(origin, value, "give true or false")
        return value
    if option.many:
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise _wrong(origin, value, f'give a list of strings, as ["{option.metavar}"]')
        return [_converted(option, each, origin) for each in value]
    if isinstance(value, str):
        return _converted(option, value, origin)
    if isinstance(value, int | float) and not isinstance(value, bool) and option.is_number:
        return _converted(option, repr(value), origin)
    raise _wrong(
        origin, value, "give a number" if option.is_number else f'give a string, as "{option.metavar}"'
    )


def _converted(option: Option, text: str, origin: str) -> Any:
    try:
        return option.convert(text)
    except UsageError as error:
        raise UsageError(f"{origin}: {error}") from None


def _wrong(origin: str, value: Any, mend: str) -> UsageError:
    return UsageError(f"{origin}: {_shown(str(value))} will not do: {mend}")


def _read(path: str, lead: str) -> dict[str, Any]:
    import tomllib

    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise UsageError(f"{lead}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{lead}: is no TOML: {error}") from None


def _like(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f": did you mean {near[0]}?" if near else ""


def _shown(text: str) -> str:
    shown = text if len(text) <= 100 else text[:100] + "..."
    return "".join(c if c.isprintable() else "?" for c in shown)
