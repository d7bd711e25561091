"""Pretrained word vectors: their source and an embedding go in; the embedding is filled, and its coverage comes out.

A token is looked up unchanged, then without the spaces around it, then in lower case. The rows of tokens without a
vector keep the random values of the model, scaled to the standard deviation of the vectors.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import nn

from lstm_readout.errors import UserError, did_you_mean
from lstm_readout.models.pretrained.vector_file import VectorFile, WordVectors
from lstm_readout.tokenizer import BOS, EOS, SPECIAL_TOKENS

log = logging.getLogger(__name__)

MOST_NAMED = 5


class Source(Protocol):
    """Where word vectors are read from, see ``VectorFile``."""

    key: str  # of the configuration, for messages
    name: str  # for messages

    @property
    def size(self) -> int:
        """Numbers per word."""
        ...

    def read(self, words: Collection[str]) -> WordVectors:
        """Return the vectors of those ``words`` that the source has."""
        ...


class Place(NamedTuple):
    """An embedding that takes vectors."""

    embedding: nn.Embedding
    tokens: Sequence[str]  # the text of each id
    counts: np.ndarray | None = None  # how often the training split has each id: (vocab_size,); None: not known
    key: str = "model.embedding_size"  # the configuration key of its width


class Coverage(NamedTuple):
    """How much of a vocabulary has a vector, without special tokens."""

    words: float  # share of the vocabulary
    tokens: float | None  # share of the training tokens, including unknown ones; None: not known
    missing: list[str]  # frequent words without a vector


class PretrainedVectors:
    """The word vectors of a configuration.

    Args:
        source: the source of all vectors, or text role -> the source of its vectors.
        freeze: do not train the embedding, including the rows of words without a vector.
        roles: text roles whose embedding takes vectors; None: all, or all of ``source``.
        lowercase: look a token up in lower case if it is not found unchanged.
    """

    def __init__(
        self,
        source: Source | Mapping[str, Source],
        *,
        freeze: bool = False,
        roles: Sequence[str] | None = None,
        lowercase: bool = True,
    ) -> None:
        if isinstance(source, Mapping) and roles is not None and set(roles) != set(source):
            raise UserError(
                f"vectors.roles={list(roles)}, but there are vectors for: {', '.join(source)}. Name each role once."
            )
        self.source, self.freeze, self.lowercase = source, freeze, lowercase
        self.roles = list(source) if isinstance(source, Mapping) else roles

    def initialise(self, places: Mapping[str, Place]) -> dict[str, Coverage]:
        """Fill the embeddings of the roles, and freeze them if asked to.

        Args:
            places: text role -> its embedding.

        Returns:
            Role -> its coverage, for the roles that took vectors.

        Raises:
            UserError: there is no such role, the widths differ, or none of its tokens has a vector.
        """
        chosen = {role: (self._source(role), places[role]) for role in self._roles(places)}
        for source, place in chosen.values():  # before the files are read
            size = place.embedding.embedding_dim
            if source.size != size:
                raise UserError(
                    f"{source.key}: {source.name} has {source.size} numbers per word; {place.key} is {size}. "
                    f"Set {place.key}={source.size}."
                )
        covered = {}
        for role, (source, place) in chosen.items():
            sharing = [other.tokens for origin, other in chosen.values() if origin is source]
            words = {form for tokens in sharing for token in tokens for form in self._forms(token)}
            covered[role] = self._fill(role, place, source, source.read(words))
        self.freeze_embeddings(places)
        return covered

    def freeze_embeddings(self, places: Mapping[str, Place]) -> None:
        """Freeze the embeddings of the roles, if asked to; once weights are loaded, nothing else remains."""
        for role in self._roles(places):
            places[role].embedding.weight.requires_grad_(not self.freeze)

    def _fill(self, role: str, place: Place, source: Source, vectors: WordVectors) -> Coverage:
        found = {
            i: vectors.words[form]
            for i, token in enumerate(place.tokens)
            for form in self._forms(token)[::-1]  # the first form last, so that it takes precedence
            if form in vectors.words
        }
        ordinary = [i for i in found if i >= len(SPECIAL_TOKENS)]
        if not ordinary:
            examples = ", ".join(f"'{token}'" for token in place.tokens[len(SPECIAL_TOKENS) :][:MOST_NAMED])
            raise UserError(
                f"{source.key}: {source.name} has none of the {len(place.tokens):,} tokens of {role} ({examples}, ...)."
                " Are both in one language? Word vectors go with tokenizer=word."
            )
        with torch.no_grad():
            weight = place.embedding.weight
            values = torch.from_numpy(vectors.values[list(found.values())]).to(weight)
            scale, before = (float(numbers.std(correction=0)) for numbers in (values, weight))
            if scale > 0 and before > 0:
                weight.mul_(scale / before)
            weight[list(found)] = values
        coverage = coverage_of(place, ordinary)
        _log_coverage(role, source, coverage, len(ordinary), len(place.tokens) - len(SPECIAL_TOKENS))
        return coverage

    def _forms(self, token: str) -> tuple[str, ...]:
        """Return the forms under which a token is looked up, in this order."""
        bare = token.strip()  # a subword at the beginning of a word has a space
        return (token, bare, token.lower(), bare.lower()) if self.lowercase else (token, bare)

    def _source(self, role: str) -> Source:
        return self.source[role] if isinstance(self.source, Mapping) else self.source

    def _roles(self, places: Mapping[str, Place]) -> list[str]:
        for role in self.roles or ():
            if role not in places:
                raise UserError(f"vectors: there is no text role '{role}' here. {did_you_mean(role, places)}")
        return list(places) if self.roles is None else list(self.roles)


def from_file(
    *,
    path: str | Mapping[str, str] | None = None,
    freeze: bool = False,
    roles: Sequence[str] | None = None,
    lowercase: bool = True,
) -> PretrainedVectors:
    """Return the vectors of a text file: ``vectors=file`` on the command line.

    Args:
        path: the file, or text role -> file.
        freeze, roles, lowercase: see ``PretrainedVectors``.
    """
    if not path:
        raise UserError("vectors.path: no file given. For example: vectors=file vectors.path=glove.6B.100d.txt")
    if isinstance(path, str):
        source = VectorFile(path)
    else:
        source = {role: VectorFile(file, f"vectors.path.{role}") for role, file in path.items()}
    return PretrainedVectors(source, freeze=freeze, roles=roles, lowercase=lowercase)


def coverage_of(place: Place, found: Sequence[int]) -> Coverage:
    """Return the share of the ids in ``found`` in a vocabulary, without special tokens."""
    special = len(SPECIAL_TOKENS)
    missing = np.ones(len(place.tokens), dtype=bool)
    missing[found] = False
    share = len(found) / (len(place.tokens) - special)
    words = np.flatnonzero(missing[special:]) + special  # without a vector, the frequent ones first
    if place.counts is None:
        return Coverage(share, None, [place.tokens[int(i)] for i in words[:MOST_NAMED]])
    words = words[np.argsort(-place.counts[words], kind="stable")][:MOST_NAMED]
    counts = place.counts.copy()
    counts[[BOS, EOS]] = 0
    covered = 1 - float(counts[missing].sum() / max(counts.sum(), 1))
    return Coverage(share, covered, [place.tokens[int(i)] for i in words])


def _log_coverage(role: str, source: Source, coverage: Coverage, found: int, words: int) -> None:
    tokens = "" if coverage.tokens is None else f", {100 * coverage.tokens:.1f} % of the training tokens"
    missing = f"; missing: {', '.join(map(repr, coverage.missing))}, ..." if coverage.missing else ""
    share = f"{found:,} of {words:,} words ({100 * coverage.words:.1f} %)"
    log.info("%s: %s has %s%s%s", role, source.name, share, tokens, missing)
