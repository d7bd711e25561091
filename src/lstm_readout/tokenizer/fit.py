"""Training texts go in, a fitted ``tokenizers.Tokenizer`` of one kind comes out.

Its first three ids are ``SPECIAL_TOKENS``, and its decoder restores the usual spacing; its JSON stores all of it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from operator import itemgetter
from typing import Any, Literal

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from lstm_readout.tokenizer.byte_alphabet import BYTE_CHARACTERS, byte_token
from lstm_readout.tokenizer.detokenize import Spacing
from lstm_readout.tokenizer.special_tokens import SPECIAL_TOKENS, UNK

Kind = Literal["word", "whitespace", "basic_english", "char", "byte", "bpe", "unigram", "wordpiece"]
"""The kinds of tokenizers that can be fitted; see ``docs/do/tokenizers.md``."""
UNKNOWN = SPECIAL_TOKENS[UNK]
_NO_LIMIT = 10**9
_WORST = -1e6  # a score so low that the piece is never chosen
_CONTINUING = "##"  # how WordPiece marks a piece that continues a word
_BLANK = " "  # no word contains one


def fit(
    kind: Kind,
    texts: Iterable[str],
    *,
    vocab_size: int | None,
    min_frequency: int,
    lowercase: bool,
    byte_fallback: bool,
) -> Tokenizer:
    """Return the backend of a ``kind`` fitted on ``texts``; the arguments are those of ``TextTokenizer.train``."""
    normalizer = normalizers.Lowercase() if lowercase else None
    limits = {"vocab_size": vocab_size or _NO_LIMIT, "min_frequency": min_frequency}
    if kind == "byte":
        return _bytes(normalizer)
    if kind == "char":
        return _characters(texts, vocab_size, min_frequency, normalizer, byte_fallback)
    if kind == "bpe":
        return _pairs(texts, limits, normalizer)
    if kind == "unigram":
        return _unigrams(texts, limits["vocab_size"], normalizer)
    return _words(kind, texts, limits, lowercase)


def _bytes(normalizer: normalizers.Normalizer | None) -> Tokenizer:
    cut = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend = _of_bytes(_without_merges([*SPECIAL_TOKENS, *BYTE_CHARACTERS]), normalizer, cut)
    backend.add_special_tokens(SPECIAL_TOKENS)
    return backend


def _characters(
    texts: Iterable[str],
    vocab_size: int | None,
    min_frequency: int,
    normalizer: normalizers.Normalizer | None,
    byte_fallback: bool,
) -> Tokenizer:
    tokens = [byte_token(number) for number in range(256)] if byte_fallback else []
    tokens = [*SPECIAL_TOKENS, *tokens, *_frequent(texts, normalizer, min_frequency)][:vocab_size]
    backend = Tokenizer(_without_merges(tokens, unk_token=UNKNOWN, byte_fallback=byte_fallback))
    backend.add_special_tokens(SPECIAL_TOKENS)
    if normalizer is not None:
        backend.normalizer = normalizer
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    return backend


def _without_merges(tokens: list[str], **options: Any) -> models.BPE:
    """Return byte-pair encoding without pairs: five times as fast as words of one character each."""
    return models.BPE(vocab={token: number for number, token in enumerate(tokens)}, merges=[], **options)


def _frequent(texts: Iterable[str], normalizer: normalizers.Normalizer | None, min_frequency: int) -> list[str]:
    """Return the characters of the texts, the most frequent first, ties in the order of code points."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text if normalizer is None else normalizer.normalize_str(text))
    "".join(counts).encode()  # raises for a lone surrogate, as the backend does
    frequent = [character for character, count in counts.items() if count >= min_frequency]
    return sorted(frequent, key=lambda character: (-counts[character], character))


def _pairs(texts: Iterable[str], limits: dict[str, int], normalizer: normalizers.Normalizer | None) -> Tokenizer:
    """Byte-pair encoding (Sennrich et al. 2016) on bytes."""
    backend = _of_bytes(models.BPE(), normalizer, pre_tokenizers.ByteLevel(add_prefix_space=False))
    backend.train_from_iterator(texts, trainers.BpeTrainer(**limits, **_knowing_bytes()))
    return backend


def _unigrams(texts: Iterable[str], vocab_size: int, normalizer: normalizers.Normalizer | None) -> Tokenizer:
    """A unigram model of subwords (Kudo 2018) on bytes."""
    # Not split at punctuation, unlike for pairs: that took a sixth more tokens for the same text (Multi30k)
    words = pre_tokenizers.Split(Regex(r" ?\S+|\s+(?!\S)|\s+"), "isolated")
    in_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    cut = pre_tokenizers.Sequence([words, in_bytes])
    learned = _of_bytes(models.Unigram(), normalizer, cut)
    learned.train_from_iterator(
        texts, trainers.UnigramTrainer(vocab_size=vocab_size, unk_token=UNKNOWN, **_knowing_bytes())
    )
    # The trainer gives a special token the best score, 0, and may learn it twice: "<eos>" in a text is ordinary text
    scores = dict.fromkeys(SPECIAL_TOKENS, _WORST)
    for piece, score in json.loads(learned.to_str())["model"]["vocab"]:
        scores.setdefault(piece, score)
    backend = _of_bytes(models.Unigram(list(scores.items()), unk_id=UNK), normalizer, cut)
    backend.add_special_tokens(SPECIAL_TOKENS)
    return backend


def _of_bytes(
    model: models.Model, normalizer: normalizers.Normalizer | None, cut: pre_tokenizers.PreTokenizer
) -> Tokenizer:
    backend = Tokenizer(model)
    if normalizer is not None:
        backend.normalizer = normalizer
    backend.pre_tokenizer = cut
    backend.decoder = decoders.ByteLevel()
    return backend


def _knowing_bytes() -> dict[str, Any]:
    """Return the options of a trainer for a vocabulary that covers every text."""
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return {"special_tokens": SPECIAL_TOKENS, "initial_alphabet": alphabet, "show_progress": False}


def _words(
    kind: Literal["word", "whitespace", "basic_english", "wordpiece"],
    texts: Iterable[str],
    limits: dict[str, int],
    lowercase: bool,
) -> Tokenizer:
    options: dict[str, Any] = {**limits, "special_tokens": SPECIAL_TOKENS, "show_progress": False}
    trainer = trainers.WordPieceTrainer(**options, continuing_subword_prefix=_CONTINUING)
    if kind == "wordpiece":
        backend = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
        backend.normalizer = normalizers.BertNormalizer(strip_accents=False, lowercase=lowercase)
        backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    else:
        options |= {"special_tokens": [], "vocab_size": limits["vocab_size"] - len(SPECIAL_TOKENS)}
        backend, trainer = Tokenizer(models.WordLevel(unk_token=UNKNOWN)), trainers.WordLevelTrainer(**options)
        backend.pre_tokenizer = pre_tokenizers.Whitespace()
        if lowercase:
            backend.normalizer = normalizers.Lowercase()
    if kind == "basic_english":
        backend.normalizer = basic_english()
        backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if kind == "whitespace":
        backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), BLANKS] if lowercase else [BLANKS])
        backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    spacing = Spacing()  # it learns nothing from whitespace: each word is written with a space before it
    backend.train_from_iterator(texts if kind == "whitespace" else spacing.watch(texts), trainer)
    if kind != "wordpiece":
        # Not by the trainer: a text with "<unk>" as a word would move it to another id
        words = [
            word for word, _ in sorted(backend.get_vocab().items(), key=itemgetter(1)) if word not in SPECIAL_TOKENS
        ]
        vocab = {token: number for number, token in enumerate([*SPECIAL_TOKENS, *words])}
        backend.model = models.WordLevel(vocab, unk_token=UNKNOWN)
        backend.add_special_tokens(SPECIAL_TOKENS)
    backend.decoder = joined(spacing, _CONTINUING if kind == "wordpiece" else _BLANK)
    return backend


def joined(spacing: Spacing, prefix: str = _BLANK) -> decoders.Decoder:
    """Return the decoder of words, with spaces where the training texts had them."""
    words = [decoders.WordPiece(prefix=prefix, cleanup=False), decoders.Fuse()]
    return decoders.Sequence([*words, decoders.Replace(Regex(spacing.pattern()), "")])


# Python lowers the last sigma of a word to ς (Unicode 3.13, Final_Sigma), the backend's Lowercase does not
_CASED = r"[\p{Cased}&&\P{Case_Ignorable}]"
_FINAL_SIGMA = normalizers.Replace(Regex(rf"{_CASED}\p{{Case_Ignorable}}*\KΣ(?!\p{{Case_Ignorable}}*{_CASED})"), "ς")

# Python's str.split() splits at these four, Rust does not
BLANKS = normalizers.Replace(Regex(r"[\x1c-\x1f]"), " ")


def basic_english() -> normalizers.Normalizer:
    """Return torchtext's ``basic_english``: its replacements, in its order (``torchtext.data.utils``)."""
    replaced = {"'": " '  ", '"': "", ".": " . ", "<br />": " ", ",": " , ", "(": " ( ", ")": " ) "}
    replaced |= {"!": " ! ", "?": " ? ", ";": " ", ":": " "}
    steps = [normalizers.Replace(old, new) for old, new in replaced.items()]
    return normalizers.Sequence([_FINAL_SIGMA, normalizers.Lowercase(), *steps, BLANKS])
