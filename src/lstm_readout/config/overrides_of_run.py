"""The overrides that a run folder holds and those given now go in; one command line comes out, or a refusal.

A run folder may be a stranger's, so what it says is data: it may set what a run has, but it names no code that is not
in the configurations of this program or in the words given now, nothing of Hydra's own, and no place to write to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path, PurePath
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString
from hydra.errors import HydraException

from lstm_readout.config.words import key_of, readable
from lstm_readout.errors import UserError

_MOST_BYTES, _MOST_DEPTH = 1 << 20, 40
_READ = {"data", "vectors", "tokenizer", "init_from"}  # whose paths are only read, so they may be anywhere
_WRITTEN = {"dirpath", "save_dir", "default_root_dir", "root_dir", "log_dir", "folder"}  # arguments that are places
_CODE = re.compile(r"""_target_["']?\s*[:=]\s*["']?([\w.]+)""")
# Classes that compute and write nothing elsewhere
_HARMLESS = re.compile(r"torch\.optim\.(lr_scheduler\.)?[A-Z]\w+|lightning\.pytorch\.callbacks\.[A-Z]\w+")
_INTERPOLATION = re.compile(r"\$\{(?!(oc\.select:|oc\.env:)?[\w.,-]*\})")  # all but a reference to another key


def read_overrides(folder: Path) -> list[str]:
    """Return the overrides that Hydra recorded in a run folder.

    Raises:
        UserError: the file is none of Hydra's.
    """
    file = folder / ".hydra" / "overrides.yaml"
    try:
        lines = yaml.safe_load(file.read_bytes()) if file.stat().st_size <= _MOST_BYTES else None
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        lines = None
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise UserError(f"resume: '{file}' is not a list of overrides, as Hydra writes it. Start a new run.")
    return lines


def with_overrides_of_run(folder: Path, recorded: Sequence[str], given: Sequence[str]) -> list[str]:
    """Return the recorded overrides and the words given now, which replace those of the same key.

    Args:
        folder: of the run, for messages.
        recorded: what the folder says.
        given: the words of the command line, flags included.

    Raises:
        UserError: a recorded override that is not replaced asks for what a run folder may not ask for.
    """
    now = {key_of(word): word for word in given if "=" in word or word.startswith("~")}
    kept = [line for line in recorded if key_of(line) not in now and not line.startswith("resume=")]
    check_overrides_of_run(kept, folder, given)
    added = {key_of(line) for line in recorded if line.startswith("+")}
    return [*kept, *(_as_added(word) if key_of(word) in added else word for word in given if _stays(word, added))]


def check_overrides_of_run(recorded: Sequence[str], folder: Path, given: Sequence[str] = ()) -> None:
    """Raise ``UserError`` for the first recorded override that asks for what a run folder may not ask for.

    Args:
        recorded: what the folder says.
        folder: of the run, for messages.
        given: the words of the command line; what they name, and what is named in the configurations that they add, is
            the user's own.
    """
    known = _named(given)
    for line in recorded:
        reason = _refusal(line, known)
        if reason is not None:
            raise UserError(
                f"resume: '{folder}' says {_shortened(line)!r}: {reason}. A run folder may be a stranger's, so this is "
                "not done on its word. If you want it, repeat it on the command line; key=null leaves it out."
            )


def _refusal(line: str, known: set[str]) -> str | None:
    """Return what an override asks for that a run folder may not ask for; None if it may."""
    try:
        parsed = _parsed(line)
    except (HydraException, RecursionError, ValueError):
        return "it is not an override"
    key = parsed.key_or_group
    if "hydra" in re.split(r"[./@:]", f"{key}@{parsed.package}"):
        return "it sets Hydra itself"
    return next(filter(None, (_fault(path, value, known) for path, value in _leaves(key, _value(parsed)))), None)


def _parsed(line: str) -> Override:
    if len(line) > 10_000 or sum(map(line.count, "{[(")) > _MOST_DEPTH or line.startswith("-"):
        raise ValueError(line)
    (parsed,) = OverridesParser.create().parse_overrides(readable([line]))
    if not parsed.key_or_group or parsed.is_sweep_override():
        raise ValueError(line)
    return parsed


def _value(parsed: Override) -> Any:
    return None if parsed.is_delete() else parsed.value()


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the dotted path of every value."""
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _leaves(f"{path}.{key}", child)
    elif isinstance(value, list):
        for child in value:
            yield from _leaves(path, child)
    else:
        yield path, value.text if isinstance(value, QuotedString) else value


def _fault(path: str, value: Any, known: set[str]) -> str | None:
    """Return what is wrong with one value; None if nothing is."""
    group, name = path.partition(".")[0], path.rpartition(".")[2]
    text = str(value)
    if _INTERPOLATION.search(f"{path} {text}"):
        return "it contains an interpolation that is more than the name of another key"
    if name == "_target_":
        return None if text in known or _HARMLESS.fullmatch(text) else f"it runs {text}"
    if re.fullmatch(r"_\w*_", name) and name != "_partial_":
        return f"it sets {name}"
    if name in _WRITTEN and value is not None:
        return f"it writes to {text}"
    leaves_folder = PurePath(text).is_absolute() or ".." in PurePath(text).parts or text.startswith(("~", "${oc.env"))
    return f"it names {text}, outside of the folder" if leaves_folder and group not in _READ else None


def _named(given: Sequence[str]) -> set[str]:
    """Return every target in the program's configurations, in those that the command line adds, and in its words."""
    folders = [Path(str(files("lstm_readout.configs"))), *(Path(one).expanduser() for one in _folders(given))]
    texts = [file.read_text(encoding="utf-8", errors="replace") for one in folders for file in one.rglob("*.yaml")]
    return {target for text in (*texts, *given) for target in _CODE.findall(text)}


def _folders(given: Sequence[str]) -> Iterator[str]:
    """Yield the folders of configurations that the command line names."""
    words = " ".join(f"{word!r}" if " " in word else word for word in given)
    yield from re.findall(r"(?:--config-dir|-cd)[= ]([^ ]+)", words)
    for found in re.findall(r"hydra\.searchpath=\[([^\]]*)\]", words):
        yield from (one.strip(" '\"").removeprefix("file://") for one in found.split(",") if "pkg:" not in one)


def _as_added(word: str) -> str:
    return word if word.startswith("+") else f"+{word}"


def _stays(word: str, added: set[str]) -> bool:
    return not (word.startswith("~") and key_of(word) in added)


def _shortened(line: str) -> str:
    return line if len(line) <= 100 else f"{line[:97]}..."
