"""torchtext's tokenizers and ``Vocab``: training texts go in, a ``TextTokenizer`` of the same tokens and ids comes out.

torchtext splits and counts. The result is stored as plain strings in a ``TextTokenizer``, whose ``basic_english`` and
``split`` give the same ids (tested; see ``docs/do/torchtext.md``), so that the model can be used anywhere.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from lstm_readout.errors import UserError
from lstm_readout.tokenizer import SPECIAL_TOKENS, UNK, TextTokenizer
from lstm_readout.tokenizer.checks import check_limit, not_unicode
from lstm_readout.tokenizer.detokenize import Spacing
from lstm_readout.tokenizer.fit import BLANKS, basic_english, joined
from lstm_readout.tokenizer.from_file import NAMES
from lstm_readout.tokenizer.torchtext.library import load
from lstm_readout.tokenizer.torchtext.saved_vocab import SavedVocab, read_vocab
from lstm_readout.tokenizer.word_rules import SPLITTERS, guarded, splitter

log = logging.getLogger(__name__)

Name = Literal["basic_english", "toktok", "moses", "revtok", "subword"]
INSTEAD = "tokenizer=basic_english gives the same ids"


def train(
    texts: Iterable[str],
    *,
    name: Name | None = "basic_english",
    min_freq: int = 1,
    max_tokens: int | None = None,
    specials: Sequence[str] = (),
    vocab_path: str | None = None,
    unk_token: str | None = None,
    bos_token: str | None = None,
    eos_token: str | None = None,
    max_length: int | None = None,
    keep: Literal["start", "end"] = "start",
    reverse: bool = False,
) -> TextTokenizer:
    """Fit a vocabulary on ``texts`` by ``get_tokenizer`` and ``build_vocab_from_iterator``, or take a saved one.

    Args:
        texts: the training split, and nothing else; read once.
        name: torchtext's name of the tokenizer; None for its ``str.split``.
        min_freq: a rarer token is unknown.
        max_tokens: maximum number of ids, special ones included. None: no limit.
        specials: more special tokens, whose ids follow those of ``<unk>``, ``<bos>`` and ``<eos>``.
        vocab_path: a ``Vocab`` saved by ``torch.save``, in place of fitting one. It keeps its order, except for the
            three, which become 0, 1 and 2.
        unk_token, bos_token, eos_token: their names in the saved one; by default found by their usual names. A
            token that it lacks is added.
        max_length, keep, reverse: see ``TextTokenizer``.

    Raises:
        UserError: torchtext or the tokenizer's library is missing, an argument is out of range, the file is not a
            vocabulary, or the texts contain no token.
    """
    data = load("torchtext.data", "tokenizer=torchtext", INSTEAD)
    check_limit(max_length, keep)
    if name in SPLITTERS:
        splitter(name)  # torchtext prints and raises if a library is missing
    spacing, texts = Spacing(), map(_checked, texts)
    if vocab_path is not None:
        fitting = {"min_freq": min_freq != 1, "max_tokens": max_tokens is not None, "specials": bool(specials)}
        for key in (key for key, given in fitting.items() if given):
            raise UserError(
                f"tokenizer.{key}: the Vocab of tokenizer.vocab_path is used unchanged. Leave tokenizer.{key} out."
            )
        given = {"unk_token": unk_token, "bos_token": bos_token, "eos_token": eos_token}
        tokens, unknown, special = _arranged(read_vocab(vocab_path), given, vocab_path)
        for text in texts:
            spacing.count(text)
    else:
        split = guarded(name, data.get_tokenizer(name))
        tokens, unknown, special = _fitted(spacing.watch(texts), split, min_freq, max_tokens, specials), "", None
    backend = Tokenizer(
        models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token=unknown or SPECIAL_TOKENS[UNK])
    )
    kind = name or "split"
    _set_rule(backend, kind, spacing)
    return TextTokenizer(backend, max_length, keep, kind=kind, special=special, reverse=reverse)


def _set_rule(backend: Tokenizer, kind: str, spacing: Spacing) -> None:
    """Let the backend split as torchtext does, and decode with the usual spacing."""
    if kind not in SPLITTERS:
        backend.normalizer = basic_english() if kind == "basic_english" else BLANKS
        backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if kind == "toktok":  # which escapes two characters as HTML does
        escapes = [decoders.Replace("&#124;", "|"), decoders.Replace("&amp;", "&")]
        backend.decoder = decoders.Sequence([joined(spacing), *escapes])
    elif kind != "split":
        backend.decoder = joined(spacing)


def _checked(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise not_unicode([text]) from error
    return text


def _fitted(
    texts: Iterable[str],
    split: Callable[[str], list[str]],
    min_freq: int,
    max_tokens: int | None,
    specials: Sequence[str],
) -> list[str]:
    """Return the tokens in the order of their ids."""
    special_tokens = [*SPECIAL_TOKENS, *specials]
    if len(set(special_tokens)) < len(special_tokens):
        raise UserError(
            f"tokenizer.specials={list(specials)}: {', '.join(SPECIAL_TOKENS)} are added automatically, "
            "and no token may occur twice. Name each of the others once."
        )
    if min_freq < 1:
        raise UserError(f"tokenizer.min_freq: wanted 1 or more, got {min_freq}.")
    if max_tokens is not None and max_tokens <= len(special_tokens):
        raise UserError(
            f"tokenizer.max_tokens: wanted {len(special_tokens) + 1} or more, as {len(special_tokens)} are special, "
            f"got {max_tokens}."
        )
    build = load("torchtext.vocab", "tokenizer=torchtext", INSTEAD).build_vocab_from_iterator
    vocab = build(map(split, texts), min_freq=min_freq, specials=special_tokens, max_tokens=max_tokens)
    tokens: list[str] = vocab.get_itos()
    if len(tokens) == len(special_tokens):
        raise UserError(
            f"tokenizer: no token occurs {min_freq} time(s) or more in the training texts. "
            "Give more text, or lower tokenizer.min_freq."
        )
    return tokens


def _arranged(vocab: SavedVocab, given: dict[str, str | None], path: str) -> tuple[list[str], str, list[int | None]]:
    """Return the tokens of a saved vocabulary, its unknown token, and the ids of the three."""
    tokens = list(vocab.tokens)
    for key, token in given.items():
        if token is not None and token not in tokens:
            raise UserError(
                f"tokenizer.{key}: '{path}' has no token '{token}'. It begins with: {', '.join(tokens[:10])}."
            )
    found = {
        key: token or next((usual for usual in NAMES[key] if usual in tokens), None) for key, token in given.items()
    }
    if given["unk_token"] is None and vocab.default_index is not None:
        found["unk_token"] = tokens[vocab.default_index]
    named = [token for token in found.values() if token is not None]
    if len(set(named)) < len(named):
        raise UserError(f"tokenizer.vocab_path: in '{path}' one token has two roles: {found}. Name different ones.")
    shown = (f"{key} is {'new' if token is None else repr(token)}" for key, token in found.items())
    log.info("%s: %s tokens; %s", path, f"{len(tokens):,}", ", ".join(shown))
    unknown = found["unk_token"]
    if unknown is None:
        unknown = SPECIAL_TOKENS[UNK]
        tokens.append(unknown)
    return tokens, unknown, [tokens.index(unknown), *(_position(found[key], tokens) for key in list(NAMES)[1:])]


def _position(token: str | None, tokens: list[str]) -> int | None:
    return None if token is None else tokens.index(token)
