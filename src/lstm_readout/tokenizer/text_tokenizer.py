"""Text to ids and back, in training and after it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from typing import Any, Literal, get_args

import numpy as np
from tokenizers import Tokenizer

from lstm_readout.errors import UserError
from lstm_readout.tokenizer.byte_alphabet import written
from lstm_readout.tokenizer.checks import blocks, check_limit, check_training, not_unicode
from lstm_readout.tokenizer.fit import Kind, fit
from lstm_readout.tokenizer.from_file import Numbering, copied, read
from lstm_readout.tokenizer.piece_cache import CUTS, PieceEncoder, encode_whole
from lstm_readout.tokenizer.ragged import Ragged, ended, joined
from lstm_readout.tokenizer.special_tokens import BOS, EOS, SPECIAL_TOKENS, UNK
from lstm_readout.tokenizer.stored import failures_told, read_stored
from lstm_readout.tokenizer.word_rules import SPLITTERS, encode_split, joiner, splitter

Keep = Literal["start", "end"]
_TAKEN = {*get_args(Kind), *CUTS, *SPLITTERS, "file"}  # kinds that decide how texts are encoded


class TextTokenizer:
    """A trained tokenizer with the length limit that its model was trained with.

    Args:
        backend: the ``tokenizers.Tokenizer``; its first three ids are ``SPECIAL_TOKENS``, unless ``special`` is given.
        max_length: longest text in tokens, without ``<eos>``; longer ones are truncated. None: no limit.
        keep: which part of a longer text is kept, its ``start`` or its ``end``.
        kind: how it was trained; ``file`` for one that was not trained here, None for one from an old checkpoint.
        dropout: share of merges that are skipped at random in training (``bpe``).
        special: the backend's ids of ``<unk>``, ``<bos>`` and ``<eos>``, if they are not 0, 1 and 2; None for
            a token that it lacks.
        reverse: ids go from the last kept token to the first, followed by ``<eos>``: a model trained on them reads and
            generates texts from their end.
    """

    def __init__(
        self,
        backend: Tokenizer,
        max_length: int | None = None,
        keep: str = "start",
        *,
        kind: str | None = None,
        dropout: float = 0.0,
        special: Sequence[int | None] | None = None,
        reverse: bool = False,
    ) -> None:
        self.backend, self.max_length, self.keep = backend, max_length, keep
        self.kind, self.dropout, self.special, self.reverse = kind, dropout, special, reverse
        self._numbering = None if special is None else Numbering(backend, special)

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        *,
        kind: Kind = "word",
        vocab_size: int | None = 30_000,
        min_frequency: int = 1,
        lowercase: bool = False,
        max_length: int | None = None,
        keep: Keep = "start",
        dropout: float = 0.0,
        byte_fallback: bool | None = None,
        reverse: bool = False,
    ) -> TextTokenizer:
        """Fit a vocabulary on ``texts``.

        Args:
            texts: the training split, and nothing else; read once.
            kind: see ``docs/do/tokenizers.md``. ``byte``, ``char``, ``bpe`` and ``unigram`` encode every text without
                loss; ``word``, ``whitespace``, ``basic_english`` and ``wordpiece`` know words.
            vocab_size: maximum number of ids, special ones included. None: no limit (``word``, ``whitespace``,
                ``basic_english``, ``char``).
            min_frequency: a rarer token is unknown (``bpe``, ``wordpiece``: a rarer pair is not merged; ``byte`` and
                ``unigram`` have none).
            lowercase: fold case first (``basic_english`` always does).
            max_length, keep, reverse: see the class.
            dropout: share of merges that are skipped, at random each time a text is encoded for training (BPE dropout,
                Provilkov et al. 2020; ``bpe`` only). The library has its own random state, which no seed controls.
            byte_fallback: encode characters not seen in training as their UTF-8 bytes, not as ``<unk>`` (``char`` only,
                where the default is True).

        Raises:
            UserError: an argument is out of range or does not apply to this kind, a text is not a string, or the texts
                contain no token.
        """
        check_training(kind, vocab_size, min_frequency, dropout, byte_fallback)
        check_limit(max_length, keep)
        with_bytes = kind == "char" and byte_fallback is not False
        try:
            backend = fit(
                kind,
                texts,
                vocab_size=vocab_size,
                min_frequency=min_frequency,
                lowercase=lowercase,
                byte_fallback=with_bytes,
            )
        except UnicodeEncodeError as error:
            raise not_unicode([error.object]) from error
        size = backend.get_vocab_size()
        if vocab_size is not None and size > vocab_size:
            raise UserError(
                f"tokenizer.vocab_size: the training texts have so many different characters that {kind} needs {size} "
                f"ids or more, got {vocab_size}."
            )
        if size == len(SPECIAL_TOKENS):
            raise UserError(
                f"tokenizer: no {kind} token occurs {max(min_frequency, 1)} time(s) or more in the training texts. "
                "Give more text, or lower tokenizer.min_frequency."
            )
        return cls(backend, max_length, keep, kind=kind, dropout=dropout, reverse=reverse)

    @classmethod
    def from_file(
        cls,
        texts: Iterable[str] = (),
        *,
        path: str,
        unk_token: str | None = None,
        bos_token: str | None = None,
        eos_token: str | None = None,
        max_length: int | None = None,
        keep: Keep = "start",
        reverse: bool = False,
    ) -> TextTokenizer:
        """Load a ``tokenizer.json`` of Hugging Face ``tokenizers``, unchanged.

        Its ids are renumbered, so that ``<unk>``, ``<bos>`` and ``<eos>`` are 0, 1 and 2 and the others follow in its
        order. Its truncation, padding and post-processor are left out.

        Args:
            texts: not read; every function that builds a tokenizer is called with the training texts.
            path: the file.
            unk_token: the token for unknown text; byte-level tokenizers need none.
            bos_token: the token before a text; if there is none, id 1 is added.
            eos_token: the token after a text. By default all three are found by their usual names.
            max_length, keep, reverse: see the class.

        Raises:
            UserError: the file is missing or not a tokenizer, or a required token is missing.
        """
        check_limit(max_length, keep)
        backend, special = read(path, {"unk_token": unk_token, "bos_token": bos_token, "eos_token": eos_token})
        return cls(backend, max_length, keep, kind="file", special=special, reverse=reverse)

    @classmethod
    def from_backend(
        cls,
        backend: Tokenizer,
        *,
        kind: str = "custom",
        unk_token: str | None = None,
        bos_token: str | None = None,
        eos_token: str | None = None,
        max_length: int | None = None,
        keep: Keep = "start",
        reverse: bool = False,
    ) -> TextTokenizer:
        """Wrap a ``tokenizers.Tokenizer`` that you built and trained yourself.

        All of it must be in its JSON, which is what a checkpoint stores; its ids are renumbered as by ``from_file``.

        Args:
            backend: a copy of it is taken.
            kind: its name in reports.
            unk_token, bos_token, eos_token: see ``from_file``.
            max_length, keep, reverse: see the class.

        Raises:
            UserError: a part of the backend is Python code, a required token is missing, or the name is taken.
        """
        check_limit(max_length, keep)
        if kind in _TAKEN:
            raise UserError(f"tokenizer kind '{kind}' is the name of a built-in rule. Choose another name.")
        named = {"unk_token": unk_token, "bos_token": bos_token, "eos_token": eos_token}
        backend, special = copied(backend, named)
        return cls(backend, max_length, keep, kind=kind, special=special, reverse=reverse)

    def __len__(self) -> int:
        return self.backend.get_vocab_size() if self._numbering is None else len(self._numbering.theirs)

    @property
    def resamples(self) -> bool:
        """Whether ``encode(training=True)`` gives different ids each time."""
        return self.dropout > 0

    @property
    def joins_far(self) -> bool:
        """Whether a space that ``decode`` writes can depend on words far before it: Moses pairs quotation marks."""
        return self.kind in SPLITTERS

    @cached_property
    def tokens(self) -> list[str]:
        """The text of each id: (ids,). A part of a character is shown by its bytes, like ``<0xE2>``."""
        ids = range(len(self)) if self._numbering is None else self._numbering.theirs.tolist()
        pieces = [self.backend.id_to_token(number) if number >= 0 else None for number in ids]
        special = [piece or name for piece, name in zip(pieces, SPECIAL_TOKENS, strict=False)]
        return special + [written(piece or "", self.backend.decoder) for piece in pieces[len(special) :]]

    def encode(self, texts: Sequence[str], *, training: bool = False) -> tuple[Ragged, int]:
        """Return the ids of each text, ``<eos>`` at its end, and how many texts were truncated at ``max_length``.

        Args:
            texts: any strings without lone surrogates.
            training: draw a new segmentation each time, if the tokenizer ``resamples``.

        Raises:
            UserError: one of the texts is not a string, or not Unicode.
        """
        encode = self._encode_drawing if training and self.resamples else self._encode
        columns, cut = [], 0
        for block in blocks(texts):
            with failures_told("tokenizer: it cannot encode these texts"):
                ids = self._renumbered(encode(block))
            column, shortened = ended(ids, self.max_length, self.keep, self.reverse)
            columns.append(column)
            cut += shortened
        return joined(columns), cut

    def decode(self, token_ids: Iterable[int]) -> str:
        """Return the text of the ids up to the first ``<eos>``."""
        ids: list[int] = []
        for token_id in token_ids:
            if token_id == EOS:
                break
            ids.append(int(token_id))
        if self.reverse:
            ids.reverse()
        if self._numbering is not None:
            ids = [number for number in self._numbering.theirs[ids].tolist() if number >= 0]
        join = joiner(self.kind)
        if join is not None:
            return join([self.backend.id_to_token(number) or "" for number in ids])
        return self.backend.decode(ids, skip_special_tokens=False)

    def without_half_character(self, text: str) -> str:
        """Return a decoded text without the part of a character at which its ids were cut.

        That is at its end, and with ``reverse`` at its start.
        """
        return text.lstrip("\ufffd") if self.reverse else text.rstrip("\ufffd")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a checkpoint; ``from_dict`` is the inverse."""
        return {
            "json": self.backend.to_str(),
            "max_length": self.max_length,
            "keep": self.keep,
            "kind": self.kind,
            "dropout": self.dropout,
            "special": self.special,
        } | ({"reverse": True} if self.reverse else {})  # only if true: the hashes of all others stay the same

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TextTokenizer:
        """Rebuild a tokenizer from the values of ``to_dict``, those of old checkpoints included.

        Raises:
            UserError: they are something else, or the backend would fail later.
        """
        backend, options = read_stored(values)
        return cls(backend, **options)

    def __reduce__(self) -> tuple[Callable[..., TextTokenizer], tuple[dict[str, Any]]]:
        """Drop caches: a copy and its fingerprint depend only on what was learned."""
        return TextTokenizer.from_dict, (self.to_dict(),)

    @cached_property
    def _encode(self) -> Callable[[list[str]], Ragged]:
        if self.kind in SPLITTERS:
            return partial(encode_split, self.backend, splitter(self.kind))
        cut = CUTS.get(self.kind or "")
        return partial(encode_whole, self.backend) if cut is None else PieceEncoder(self.backend, cut)

    @cached_property
    def _encode_drawing(self) -> Callable[[list[str]], Ragged]:
        backend = Tokenizer.from_str(self.backend.to_str())  # a copy, so that other encodings stay deterministic
        backend.model.dropout = self.dropout  # pyright: ignore[reportAttributeAccessIssue]
        return partial(encode_whole, backend)

    def _renumbered(self, column: Ragged) -> Ragged:
        values = column.values if self._numbering is None else self._numbering.ours[column.values]
        # "<eos>" in a text is a word like any other, and may be in a vocabulary of words
        return Ragged(np.where((values == BOS) | (values == EOS), np.int32(UNK), values), column.offsets)
