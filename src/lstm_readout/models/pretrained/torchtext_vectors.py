"""``torchtext.vocab``'s word vectors: a name or a file and the wanted words go in, their vectors come out."""

from __future__ import annotations

import os
import ssl
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lstm_readout.errors import UserError, did_you_mean
from lstm_readout.models.pretrained.vector_file import WordVectors
from lstm_readout.models.pretrained.vectors import PretrainedVectors
from lstm_readout.tokenizer.torchtext.library import load

KINDS = ("glove", "fasttext")
_FORCE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


class _TorchtextVectors:
    """``torchtext.vocab.Vectors``, read on first use.

    Args:
        name: a name of torchtext, like ``glove.6B.100d``, which it downloads if it is not in ``cache``; or a text file.
        cache: the folder of its copies: ``<file>.pt`` beside what was downloaded.
        max_vectors: use the first of the file only; None: all.
        key: the configuration's key that named them, for messages.

    Raises:
        UserError: while reading: torchtext is missing, there are no such vectors, or they cannot be read.
    """

    def __init__(self, name: str, cache: str, max_vectors: int | None = None, key: str = "vectors.name") -> None:
        self.key, self.given, self.cache, self.max_vectors = key, name, cache, max_vectors
        self.name = f"'{name}' (torchtext)"

    @property
    def size(self) -> int:
        """Numbers per word."""
        return int(self._vectors.dim)

    def read(self, words: Collection[str]) -> WordVectors:
        """Return the vectors of those ``words`` that have one."""
        found = [word for word in words if word in self._vectors.stoi]
        rows = self._vectors.vectors[[self._vectors.stoi[word] for word in found]]
        return WordVectors({word: i for i, word in enumerate(found)}, rows.numpy().astype(np.float32))

    @cached_property
    def _vectors(self) -> Any:
        vocab = load("torchtext.vocab", "vectors=torchtext", "vectors=file reads the text files of GloVe and fastText")
        aliases = {name: make for name, make in vocab.pretrained_aliases.items() if name.startswith(KINDS)}
        options = {"cache": str(Path(self.cache).expanduser()), "max_vectors": self.max_vectors}
        file = Path(self.given).expanduser()
        if self.given not in aliases and not file.is_file():
            raise UserError(
                f"{self.key}: '{self.given}' is neither a file nor a torchtext name. "
                f"{did_you_mean(self.given, aliases)}"
            )
        with _guarded():
            try:
                return aliases[self.given](**options) if self.given in aliases else vocab.Vectors(str(file), **options)
            except Exception as error:  # from the network, an archive, a text without vectors, a pickle
                raise UserError(
                    f"{self.key}: torchtext could not read '{self.given}', with vectors.cache={self.cache}: "
                    f"{type(error).__name__}: {error}. Give another file, or delete its copy in the cache."
                ) from error


@contextmanager
def _guarded() -> Iterator[None]:
    """Undo what torchtext does to the process, and let it read a cached copy without running code that it holds."""
    context, forced = ssl._create_default_https_context, os.environ.get(_FORCE)  # torchtext stops checking certificates
    os.environ[_FORCE] = "1"
    try:
        yield
    finally:
        ssl._create_default_https_context = context
        if forced is None:
            del os.environ[_FORCE]
        else:
            os.environ[_FORCE] = forced


def from_torchtext(
    *,
    name: str | Mapping[str, str] | None = None,
    cache: str = ".vector_cache",
    max_vectors: int | None = None,
    freeze: bool = False,
    roles: Sequence[str] | None = None,
    lowercase: bool = True,
) -> PretrainedVectors:
    """Return the vectors of ``torchtext.vocab``: ``vectors=torchtext`` on the command line.

    Args:
        name: see ``TorchtextVectors``; or text role -> name.
        cache, max_vectors: see ``TorchtextVectors``.
        freeze, roles, lowercase: see ``PretrainedVectors``.
    """
    if not name:
        raise UserError(
            "vectors.name: none given. For example: vectors=torchtext vectors.name=glove.6B.100d, or a file."
        )
    if max_vectors is not None and max_vectors < 1:
        raise UserError(f"vectors.max_vectors: wanted 1 or more, or null for all, got {max_vectors}.")
    if isinstance(name, str):
        source = _TorchtextVectors(name, cache, max_vectors)
    else:
        source = {
            role: _TorchtextVectors(one, cache, max_vectors, f"vectors.name.{role}") for role, one in name.items()
        }
    return PretrainedVectors(source, freeze=freeze, roles=roles, lowercase=lowercase)
