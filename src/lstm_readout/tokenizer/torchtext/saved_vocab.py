"""A saved torchtext ``Vocab`` goes in; its tokens come out, in their order.

Such a file is a pickle, which can run any program while it is read. So it is read with an unpickler that knows only the
few classes in a ``Vocab`` and replaces them with empty ones: none of the file's code is run, and torchtext is not
needed.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import Counter, OrderedDict
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from lstm_readout.errors import UserError

GIVE = "Give what torch.save(vocab, path) or torch.save(vocab.get_itos(), path) wrote in torchtext 0.9 or newer."


class SavedVocab(NamedTuple):
    """What a file says."""

    tokens: list[str]  # in the order of their ids
    default_index: int | None  # the id of unknown tokens; None: looking one up raises


def read_vocab(path: str, key: str = "tokenizer.vocab_path") -> SavedVocab:
    """Read a ``Vocab``, a list of tokens or a mapping of tokens to ids, saved by ``torch.save`` or ``pickle.dump``.

    Args:
        path: the file.
        key: the configuration's key that named it, for messages.

    Raises:
        UserError: the file is missing, or it contains something else.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise UserError(f"{key}: no such file: '{path}'. {GIVE}")
    try:
        content = _Unpickler(BytesIO(_pickle_in(file))).load()
    except UserError:
        raise
    except Exception as error:  # broken bytes can raise nearly every kind of exception
        raise UserError(f"{key}: could not read '{path}' ({type(error).__name__}: {error}). {GIVE}") from error
    tokens, default_index = _tokens_of(content)
    if not tokens or not all(isinstance(token, str) for token in tokens):
        raise UserError(f"{key}: wanted a vocabulary in '{path}', got {type(content).__name__}. {GIVE}")
    if len(set(tokens)) < len(tokens):
        ((twice, _),) = Counter(tokens).most_common(1)
        raise UserError(f"{key}: '{path}' has '{twice}' twice. {GIVE}")
    return SavedVocab(tokens, default_index)


class _Vocab:
    """Stands in for ``torchtext.vocab.Vocab`` and for the compiled one inside it."""

    def __setstate__(self, state: Any) -> None:
        self.state = state


_KNOWN = {
    ("collections", "OrderedDict"): OrderedDict,
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] == "torchtext" and name == "Vocab":
            return _Vocab
        if (module, name) in _KNOWN:
            return _KNOWN[module, name]
        raise pickle.UnpicklingError(f"it contains {module}.{name}, which is not part of a Vocab")


def _pickle_in(file: Path) -> bytes:
    """Return the pickle of a file: ``torch.save`` wraps it in a zip archive."""
    if not zipfile.is_zipfile(file):
        return file.read_bytes()
    with zipfile.ZipFile(file) as archive:
        name = next((name for name in archive.namelist() if name.endswith("/data.pkl")), None)
        if name is None:
            raise pickle.UnpicklingError("no data.pkl in it")
        return archive.read(name)


def _tokens_of(content: Any) -> tuple[list[Any], int | None]:
    """Return the tokens and the default index; no tokens where there are none."""
    if isinstance(content, _Vocab):
        state = content.state
        if isinstance(state, dict):  # the module, which holds the compiled one
            inner = state.get("vocab") or state.get("_modules", {}).get("vocab")
            return _tokens_of(inner) if isinstance(inner, _Vocab) else ([], None)
        _, numbers, tokens, *_ = state  # version, [default index or -1], tokens, tensors
        return list(tokens), next((int(number) for number in numbers if number >= 0), None)
    if isinstance(content, dict) and all(isinstance(value, int) for value in content.values()):
        if sorted(content.values()) == list(range(len(content))):
            return sorted(content, key=content.__getitem__), None
        return [], None
    return (content, None) if isinstance(content, list) else ([], None)
