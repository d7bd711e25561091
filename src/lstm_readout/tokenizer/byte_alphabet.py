"""Bytes as characters: how byte-level tokenizers write them, and how a person reads them."""

from __future__ import annotations

import re

from tokenizers import decoders, pre_tokenizers


def _byte_characters() -> list[str]:
    """Return the character for each byte: itself if it is visible, otherwise one from U+0100 on (GPT-2)."""
    alphabet = set(pre_tokenizers.ByteLevel.alphabet())
    free = iter(sorted(alphabet - {chr(number) for number in range(256)}))
    return [chr(number) if chr(number) in alphabet else next(free) for number in range(256)]


BYTE_CHARACTERS = _byte_characters()
_BYTES = {character: number for number, character in enumerate(BYTE_CHARACTERS)}
_SPACE = "\u2581"  # how SentencePiece writes the space before a word; its decoder drops the first one of a text
_PART = re.compile("[\udc80-\udcff]")  # how Python's "surrogateescape" decodes a byte that is not part of a character


def byte_token(number: int) -> str:
    """Return the token of one byte, as SentencePiece writes it: ``<0x0A>``."""
    return f"<0x{number:02X}>"


def written(piece: str, decoder: decoders.Decoder | None) -> str:
    """Return the text of a token as a person writes it.

    Args:
        piece: the token in the vocabulary.
        decoder: the tokenizer's; it knows the characters for a space or a byte.
    """
    if decoder is None:
        return piece
    if piece.startswith(_SPACE) and _SPACE not in decoder.decode(["x", piece]):
        return piece.replace(_SPACE, " ")
    text = decoder.decode([piece])
    if "\ufffd" in text and all(character in _BYTES for character in piece):  # byte-level, and no whole character
        decoded = bytes(_BYTES[character] for character in piece).decode("utf-8", errors="surrogateescape")
        return _PART.sub(lambda match: byte_token(ord(match[0]) - 0xDC00), decoded)
    return piece if not text or "\ufffd" in text else text
