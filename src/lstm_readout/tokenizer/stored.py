"""The JSON of a tokenizer goes in, its backend comes out: neither ids nor texts nor patterns can make it fail later.

The file may be a stranger's. The library itself aborts, panics or takes all memory for some of what it accepts.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any

from tokenizers import Tokenizer

from lstm_readout.errors import UserError
from lstm_readout.tokenizer.plain import NOTHING, Kinds, check_kinds
from lstm_readout.tokenizer.special_tokens import SPECIAL_TOKENS

_KINDS: Kinds = {
    "json": (str,),
    "max_length": (int, NOTHING),
    "keep": (str,),
    "kind": (str, NOTHING),
    "dropout": (float, int, NOTHING),
    "special": (list, tuple, NOTHING),
    "reverse": (bool, NOTHING),
}  # of a tokenizer in a checkpoint; those of earlier versions lack the last four
_MOST_IDS = 10_000_000  # the tables from an id to its text are this long
_MOST_GROWTH = 1000  # how much longer a normalizer may make a text
_MOST_PARTS = 500
_PARTS = ("normalizer", "pre_tokenizer", "decoder")
_PROBES = ["", "a b", "Ab 12, c'd!", "a" * 40 + "!", " \n\t\u00e9\u4e00"]


def read_stored(values: Any) -> tuple[Tokenizer, dict[str, Any]]:
    """Return the backend and the arguments of ``TextTokenizer`` that a checkpoint holds.

    Raises:
        UserError: they are not what ``TextTokenizer.to_dict`` gives.
    """
    values = check_kinds(values, _KINDS, "the tokenizer")
    options = {key: values[key] for key in _KINDS if key != "json" and values.get(key) is not None}
    if options["keep"] not in ("start", "end") or options.get("max_length", 1) < 1:
        raise UserError(f"the tokenizer: keep={options['keep']}, max_length={options.get('max_length')} is impossible.")
    if not 0 <= options.get("dropout", 0) <= 1:
        raise UserError(f"the tokenizer: dropout={options['dropout']} is no share.")
    backend = backend_of(values["json"])
    ids = set(backend.get_vocab(with_added_tokens=True).values())
    special = options.get("special")
    if special is None and max(ids) >= backend.get_vocab_size():
        raise UserError(f"the tokenizer's vocabulary: it has {len(ids):,} ids, but one of them is {max(ids):,}.")
    if special is not None and (
        len(special) != len(SPECIAL_TOKENS)
        or not all(one is None or (type(one) is int and one in ids) for one in special)
    ):
        raise UserError(f"the tokenizer's special tokens: {special} are not three of its ids.")
    return backend, options


def backend_of(text: str) -> Tokenizer:
    """Return the backend of a ``tokenizer.json``, without its truncation and padding.

    Raises:
        UserError: the library cannot read it, or what it describes would fail, hang or take all memory later.
    """
    _check_content(content_of(text))
    with failures_told("the tokenizer cannot be read"):
        backend = Tokenizer.from_str(text)
        backend.no_truncation()
        backend.no_padding()
        for probe in _PROBES:
            backend.decode(backend.encode(probe, add_special_tokens=False).ids, skip_special_tokens=False)
    ids = backend.get_vocab(with_added_tokens=True).values()
    if not ids or max(ids) >= _MOST_IDS:
        wanted = f"wanted one or more tokens with ids below {_MOST_IDS:,}"
        raise UserError(f"the tokenizer's vocabulary: {wanted}, got {f'id {max(ids):,}' if ids else 'no token'}.")
    return backend


@contextlib.contextmanager
def failures_told(what: str) -> Iterator[None]:
    """Raise any failure of the library as a ``UserError`` that begins with ``what``."""
    try:
        yield
    except UserError:
        raise
    except BaseException as error:  # a panic of the library is no Exception
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise UserError(f"{what}: {(str(error).splitlines() or [repr(error)])[0]}.") from None


def content_of(text: str) -> dict[str, Any]:
    """Return the JSON of a tokenizer as a dict.

    Raises:
        UserError: it is something else.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"the tokenizer is not JSON: {str(error)[:100]}.") from None
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        raise UserError("it is not a tokenizer: it has no 'model'.")
    return content


def _check_content(content: dict[str, Any]) -> None:
    """Raise ``UserError`` for a pattern that may never end, or replacements that multiply the length of a text."""
    written: list[tuple[str, int]] = []  # what replacements write, and how much longer than what they found
    for part in (part for name in _PARTS for part in parts_of(content.get(name))):
        pattern, text = part.get("pattern"), str(part.get("content") or part.get("prepend") or "")
        pattern = pattern if isinstance(pattern, dict) else {}
        if isinstance(pattern.get("Regex"), str) and _repeats_repeats(pattern["Regex"]):
            raise UserError(
                f"the tokenizer's pattern {pattern['Regex'][:60]!r} repeats a repetition: it may never end."
            )
        if part.get("type") == "Precompiled" and not _is_charsmap(part.get("precompiled_charsmap")):
            raise UserError("the tokenizer's precompiled_charsmap is damaged.")
        growth = len(text) * max((size for earlier, size in written if _is_in(pattern, earlier)), default=1)
        if growth > _MOST_GROWTH or len(written) > _MOST_PARTS:
            raise UserError(
                f"the tokenizer makes a text more than {_MOST_GROWTH:,} times longer, or has too many rules."
            )
        written += [(text, growth)] if pattern else []


def _is_charsmap(value: Any) -> bool:
    """Return whether a table of sentencepiece is whole: the length of its trie, the trie, and text."""
    try:
        table = base64.b64decode(value or "", validate=True)
    except (ValueError, TypeError):
        return False
    length = int.from_bytes(table[:4], "little")
    return len(table) > 4 and length % 4 == 0 and length <= len(table) - 4


def _is_in(pattern: dict[str, Any], text: str) -> bool:
    """Return whether a pattern may occur in a text."""
    if "String" in pattern:
        return str(pattern["String"]) in text
    try:
        return len(text) > 100 or re.search(str(pattern.get("Regex", "")), text) is not None
    except (re.error, OverflowError, RecursionError):  # it is not Python's syntax
        return True


def parts_of(node: Any) -> Iterator[dict[str, Any]]:
    """Yield the parts of a pipeline, at any depth."""
    waiting = [node]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, dict):
            yield one
            below = (one.get(key) for key in ("pretokenizers", "normalizers", "decoders"))
            waiting = [child for children in below if isinstance(children, list) for child in children] + waiting


def _repeats_repeats(regex: str) -> bool:
    r"""Return whether a group that can repeat without end holds something that can: ``(a+)+``, ``(a|ab)*``.

    Such a pattern takes exponential time on some texts, unless each round starts with a sign: ``([.,]\d+)*``.
    """
    regex = re.sub(r"\\(.)", lambda found: "x" if found[1].isalnum() else ",", regex, flags=re.DOTALL)
    regex = re.sub(r"\[\^?\]?(?:\[:\^?\w+:\]|[^\]])*\]", _sign_or_letter, regex)
    endless = r"(?:[*+]|\{\d*,\})"
    while True:
        inner = re.search(r"\((?:\?(?:<?[=!:>]|[a-z-]*:))?([^()]*)\)", regex)
        if inner is None:
            return False
        repeats = re.match(endless, regex[inner.end() :]) is not None
        varies = re.search(endless, inner[1]) is not None or "|" in inner[1]
        begins = all(re.match(r"[^\w\s.*+?^$](?![*+?{])", one) for one in inner[1].split("|"))
        if repeats and varies and not begins:
            return True
        regex = regex[: inner.start()] + ("x+" if varies else "x") + regex[inner.end() :]


def _sign_or_letter(characters: re.Match[str]) -> str:
    """Return ``,`` for a class of signs such as ``[.,]``, ``x`` for any other."""
    return "," if re.fullmatch(r"\[-?[^\w\s\[\]^-]+-?\]", characters[0]) else "x"
