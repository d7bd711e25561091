"""A backend made elsewhere, as a ``tokenizer.json`` or an object, goes in; it and its special ids come out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from lstm_readout.errors import MOST_NAMED, UserError, did_you_mean
from lstm_readout.tokenizer.byte_alphabet import BYTE_CHARACTERS, byte_token
from lstm_readout.tokenizer.special_tokens import UNK
from lstm_readout.tokenizer.stored import backend_of, parts_of

_MOST_BYTES = 1 << 30

NAMES = {  # the usual names of these tokens, the most reliable first
    "unk_token": ["<unk>", "[UNK]", "<UNK>", "<|unk|>"],
    "bos_token": ["<s>", "<bos>", "<sos>", "<|begin_of_text|>", "<|startoftext|>", "<BOS>", "[BOS]", "[CLS]"],
    # GPT-2's <|endoftext|> is both, but a token that begins a text is not needed
    "eos_token": ["</s>", "<eos>", "<|end_of_text|>", "<|endoftext|>", "<EOS>", "[EOS]", "[SEP]", "<|im_end|>"],
}


class Numbering:
    """Ids of a backend <-> ids of this project, where 0, 1 and 2 are ``<unk>``, ``<bos>`` and ``<eos>``.

    Args:
        backend: the tokenizer.
        special: the backend's ids of these three; None for one that it lacks.
    """

    def __init__(self, backend: Tokenizer, special: Sequence[int | None]) -> None:
        ids = sorted(set(backend.get_vocab(with_added_tokens=True).values()))
        others = [number for number in ids if number not in special]
        self.theirs = np.array([*(-1 if number is None else number for number in special), *others])  # -1: none
        self.ours = np.full(ids[-1] + 1, UNK, dtype=np.int32)
        self.ours[self.theirs[self.theirs >= 0]] = np.flatnonzero(self.theirs >= 0)


def read(path: str, named: dict[str, str | None]) -> tuple[Tokenizer, list[int | None]]:
    """Return the backend of a ``tokenizer.json`` and its special ids; see ``_adopt``.

    Raises:
        UserError: the file is missing or not a tokenizer, or as ``_adopt``.
    """
    content = _content(Path(path).expanduser())
    try:
        backend = backend_of(json.dumps(content))
    except UserError as error:
        raise UserError(
            f"tokenizer.path: cannot read '{path}' as a tokenizer.json: {error} "
            "Save it again with a current version of Hugging Face tokenizers."
        ) from error
    return backend, _adopt(backend, content, named, f"'{path}'")


def copied(backend: Tokenizer, named: dict[str, str | None]) -> tuple[Tokenizer, list[int | None]]:
    """Return a copy of a backend and its special ids; see ``_adopt``.

    Raises:
        UserError: a part of it is Python code, or as ``_adopt``.
    """
    try:
        text = backend.to_str()
    except Exception as error:  # the backend raises nothing more exact
        raise UserError(
            f"tokenizer: the backend cannot be stored in a checkpoint: {error}. Build it from the classes of Hugging "
            "Face tokenizers alone, for example pre_tokenizers.Split(Regex(...))."
        ) from error
    copy = Tokenizer.from_str(text)
    return copy, _adopt(copy, json.loads(text), named, "the backend")


def _adopt(backend: Tokenizer, content: dict[str, Any], named: dict[str, str | None], source: str) -> list[int | None]:
    """Prepare a backend, and return its ids of ``<unk>``, ``<bos>`` and ``<eos>``; None for one that it lacks.

    Args:
        backend: changed in place, so that it no longer truncates, pads or drops merges.
        content: its JSON.
        named: ``unk_token``, ``bos_token`` and ``eos_token``; None for one found by its usual names.
        source: where the backend comes from, in messages.

    Raises:
        UserError: a named token is missing, no token ends a text, or there is none for unknown text and the tokenizer
            does not cover every text.
    """
    backend.no_truncation()
    backend.no_padding()
    if content["model"].get("dropout"):
        backend.model.dropout = None  # otherwise no text would be encoded the same way twice
    vocab = backend.get_vocab(with_added_tokens=True)
    tokens = {key: _find(key, name, vocab, content, source) for key, name in named.items()}
    if tokens["eos_token"] is None:
        raise UserError(
            f"tokenizer.eos_token: {source} has none of the usual tokens that end a text. {_hint(content, 'eos_token')}"
        )
    if not _knows_every_byte(content, vocab):
        tokens["unk_token"] = _unknown(backend, named["unk_token"], tokens["unk_token"], vocab, content, source)
    return [None if tokens[key] is None else vocab[str(tokens[key])] for key in NAMES]


def _content(path: Path) -> dict[str, Any]:
    if path.is_dir() and (path / "tokenizer.json").is_file():
        raise UserError(f"tokenizer.path: '{path}' is a folder. Name the file: tokenizer.path={path}/tokenizer.json.")
    if not path.is_file():
        raise UserError(f"tokenizer.path: no such file: '{path}'. Give the tokenizer.json of a trained tokenizer.")
    if path.stat().st_size > _MOST_BYTES:
        raise UserError(f"tokenizer.path: '{path}' has more than a gigabyte. Give a tokenizer.json.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise UserError(f"tokenizer.path: '{path}' is not JSON: {error}. Give a tokenizer.json.") from error
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        raise UserError(
            f"tokenizer.path: '{path}' is not a tokenizer: it has no 'model'. Give the tokenizer.json that Hugging "
            "Face tokenizers writes, not vocab.json or tokenizer_config.json."
        )
    return content


def _find(key: str, name: str | None, vocab: dict[str, int], content: dict[str, Any], source: str) -> str | None:
    if name is None:
        return next((usual for usual in NAMES[key] if usual in vocab), None)
    if name not in vocab:
        near = did_you_mean(name, vocab).partition("Valid:")[0].rstrip()
        raise UserError(f"tokenizer.{key}: {source} has no token '{name}'. {near or _hint(content, key)}")
    if name not in NAMES[key] and name not in _special_tokens(content):
        raise UserError(
            f"tokenizer.{key}: '{name}' of {source} is an ordinary token, which occurs in texts. {_hint(content, key)}"
        )
    return name


def _special_tokens(content: dict[str, Any]) -> list[str]:
    return [token["content"] for token in content.get("added_tokens") or [] if token.get("special")]


def _hint(content: dict[str, Any], key: str) -> str:
    """Return what to do if a needed token was not found."""
    names = _special_tokens(content)
    if not names:
        return "It has no special tokens at all. Add them with Tokenizer.add_special_tokens(['<unk>', '<eos>'])."
    return f"Its special tokens: {', '.join(names[:MOST_NAMED])}. Name one: tokenizer.{key}=..."


def _unknown(
    backend: Tokenizer,
    named: str | None,
    found: str | None,
    vocab: dict[str, int],
    content: dict[str, Any],
    source: str,
) -> str:
    """Return the token for unknown text; a model without one would raise, or silently drop the text."""
    model = content["model"]
    own = model.get("unk_token")
    if model.get("unk_id") is not None:  # a unigram model
        own = model["vocab"][model["unk_id"]][0]
    if own in vocab:
        if named not in (None, own):
            raise UserError(
                f"tokenizer.unk_token: the model of {source} uses '{own}' for unknown text, not '{named}'. "
                "Leave tokenizer.unk_token out."
            )
        return own
    if found is None or "unk_id" in model:
        raise UserError(
            f"tokenizer.unk_token: {source} has no token for unknown text, which would be lost. "
            f"{_hint(content, 'unk_token')}"
        )
    backend.model.unk_token = found
    return found


def _knows_every_byte(content: dict[str, Any], vocab: dict[str, int]) -> bool:
    if content["model"].get("byte_fallback"):
        return all(byte_token(number) in vocab for number in range(256))
    parts = [*parts_of(content.get("pre_tokenizer")), *parts_of(content.get("normalizer"))]
    return any(part.get("type") == "ByteLevel" for part in parts) and all(
        character in vocab for character in BYTE_CHARACTERS
    )
