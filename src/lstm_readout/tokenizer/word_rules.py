"""Word tokenizers of other libraries: a text goes in, its words come out, and back.

They have torchtext's names. A checkpoint stores the name, and only that one library is needed to use it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

from tokenizers import Tokenizer

from lstm_readout.errors import UserError
from lstm_readout.tokenizer.ragged import Ragged


class Splitter(NamedTuple):
    """One rule, as ``torchtext.data.get_tokenizer`` has it."""

    library: str  # what pip calls it
    split: Callable[[], Callable[[str], list[str]]]  # imports it, and returns a text -> words
    join: Callable[[], Callable[[list[str]], str]] | None = None  # words -> a text; None: the backend's decoder does


def _of(module: str, name: str) -> Any:
    return getattr(import_module(module), name)


SPLITTERS = {
    "toktok": Splitter("nltk", lambda: _of("nltk.tokenize.toktok", "ToktokTokenizer")().tokenize),
    "moses": Splitter(
        "sacremoses",
        lambda: _of("sacremoses", "MosesTokenizer")().tokenize,
        lambda: _of("sacremoses", "MosesDetokenizer")().detokenize,
    ),
    "revtok": Splitter("revtok", lambda: _of("revtok", "tokenize"), lambda: _of("revtok", "detokenize")),
    "subword": Splitter(
        "revtok", lambda: partial(_of("revtok", "tokenize"), decap=True), lambda: _of("revtok", "detokenize")
    ),
}


def splitter(name: str) -> Callable[[str], list[str]]:
    """Return the rule: a text -> words; it raises ``UserError`` for a text on which its library fails.

    Raises:
        UserError: its library is not installed.
    """
    return guarded(name, _loaded(name, SPLITTERS[name].split))


def guarded(name: str | None, split: Callable[[str], list[str]]) -> Callable[[str], list[str]]:
    """Return the rule; it raises ``UserError`` for a text on which it fails."""

    def split_or_raise(text: str) -> list[str]:
        try:
            return split(text)
        except Exception as error:  # revtok's "subword" fails on a few texts
            raise UserError(
                f"tokenizer.name={name}: fails on a text ({type(error).__name__}: {error}): {text[:60]!a}. "
                "Choose another tokenizer.name, or leave such texts out."
            ) from error

    return split_or_raise


def joiner(name: str | None) -> Callable[[list[str]], str] | None:
    """Return the inverse: words -> a text; None if the backend's decoder does it.

    Raises:
        UserError: its library is not installed.
    """
    found = SPLITTERS.get(name or "")
    return None if found is None or found.join is None else _loaded(name or "", found.join)


def encode_split(backend: Tokenizer, split: Callable[[str], list[str]], texts: Sequence[str]) -> Ragged:
    """Return the ids of each text's words in a backend that is a list of words."""
    ids = backend.get_vocab(with_added_tokens=True)
    unknown = ids[backend.model.unk_token]  # pyright: ignore[reportAttributeAccessIssue]
    return Ragged.from_lists([[ids.get(word, unknown) for word in split(text)] for text in texts])


def versions() -> dict[str, str | None]:
    """Return the versions of torchtext and of these libraries: an encoding depends on them as well."""
    found: dict[str, str | None] = {}
    for library in ("torchtext", *(one.library for one in SPLITTERS.values())):
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = None
    return found


def _loaded(name: str, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except ImportError as error:
        library = SPLITTERS[name].library
        raise UserError(
            f"tokenizer.name={name}: needs {library}, which cannot be imported here ({error}): pip install {library}"
        ) from error
