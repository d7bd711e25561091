"""Text becomes ids and text again; what a vocabulary does not know, it says."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from lstm_readout.data.synthetic import sample
from lstm_readout.errors import UserError
from lstm_readout.tokenizer import BOS, EOS, SPECIAL_TOKENS, UNK, TextTokenizer, Vocabulary, unknown_rate

LOSSLESS = ("byte", "char", "bpe", "unigram")
KINDS: tuple[Any, ...] = (*LOSSLESS, "word", "whitespace", "basic_english", "wordpiece")
TEXTS = ["the dog barks .", "two dogs bark !", "naïve 😀 e\u0301 שלום\n\tx", "<eos> <bos>"]
any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def ids(tokenizer: TextTokenizer, *texts: str) -> list[list[int]]:
    column, _ = tokenizer.encode(texts)
    return [column.row(i).tolist() for i in range(len(texts))]


def trained(kind: Any = "word", texts: list[str] = TEXTS, **options: Any) -> TextTokenizer:
    return TextTokenizer.train(texts, kind=kind, **options)


KNOWN = {kind: trained(kind, vocab_size=400) for kind in KINDS}


# --- there and back


@given(any_text)
@example("")
@example("\0")
@example("<eos>")
@example("<unk> <bos>a<eos><0x41><0xFF>")
@example("\r\n\u2028\ufeff e\u0301 👩‍👩‍👧 \u202eאב\u202c\ufdd0")
@example("  two spaces before, and behind\x1c\x85 \t ")
@pytest.mark.parametrize("kind", LOSSLESS)
def test_any_text_comes_back_unchanged(kind: str, text: str) -> None:
    (row,) = ids(KNOWN[kind], text)
    assert KNOWN[kind].decode(row) == text
    assert row[-1] == EOS
    assert not {UNK, BOS, EOS} & set(row[:-1])


@given(st.lists(any_text, max_size=5), st.none() | st.integers(1, 12), st.sampled_from(["start", "end"]))
@example(["abc", "", "x", "abcdefg"], 3, "end")
@pytest.mark.parametrize("kind", KINDS)
def test_reversed_ids_are_the_same_ones_from_their_end(
    kind: str, texts: list[str], limit: int | None, keep: str
) -> None:
    plain = TextTokenizer(KNOWN[kind].backend, limit, keep, kind=kind)
    turned = TextTokenizer(KNOWN[kind].backend, limit, keep, kind=kind, reverse=True)
    assert [[*row[-2::-1], EOS] for row in ids(plain, *texts)] == ids(turned, *texts)
    assert plain.encode(texts)[1] == turned.encode(texts)[1]
    for row, other in zip(ids(plain, *texts), ids(turned, *texts), strict=True):
        assert plain.decode(row) == turned.decode(other)


def test_a_direction_is_kept_and_what_was_saved_without_one_reads_from_the_start() -> None:
    turned = trained(reverse=True)
    assert TextTokenizer.from_dict(turned.to_dict()).reverse
    assert pickle.loads(pickle.dumps(turned)).reverse
    assert "reverse" not in trained().to_dict()
    assert not TextTokenizer.from_dict(trained().to_dict()).reverse


@given(any_text)
@example("<eos> <unk> <bos>")
@pytest.mark.parametrize("kind", ["word", "basic_english", "wordpiece"])
def test_what_words_lose_is_blanks_alone_or_what_their_rule_names(kind: str, text: str) -> None:
    tokenizer = trained(kind, [text, "x"])
    (row,) = ids(tokenizer, text)
    assert row[-1] == EOS
    assert not {BOS, EOS} & set(row[:-1])
    if kind == "word":
        # \x1c to \x1f are blanks to Python, and punctuation to the backend
        assert "".join(tokenizer.decode(row).split()) == "".join(text.split())


@pytest.mark.parametrize("kind", KINDS)
def test_the_special_ids_are_the_same_in_every_vocabulary(kind: str) -> None:
    tokenizer = KNOWN[kind]
    assert [tokenizer.backend.token_to_id(token) for token in SPECIAL_TOKENS] == [UNK, BOS, EOS]
    assert len(tokenizer) == tokenizer.backend.get_vocab_size() == len(tokenizer.tokens)
    assert tokenizer.tokens[:3] == SPECIAL_TOKENS


@pytest.mark.parametrize("kind", KINDS)
def test_special_words_in_a_text_are_words_and_no_commands(kind: str) -> None:
    for texts in (TEXTS, ["<eos> <eos> <eos><eos> <bos> <unk>"] * 99):
        tokenizer = trained(kind, texts, vocab_size=400)
        assert len(set(tokenizer.tokens)) >= len(tokenizer) - 128  # a fallback byte of char is written as its character
        assert [tokenizer.backend.token_to_id(token) for token in SPECIAL_TOKENS] == [UNK, BOS, EOS]
        for row in ids(tokenizer, "<eos>", "a <bos><eos> b", "<eos><eos>"):
            assert row[-1] == EOS
            assert not {BOS, EOS} & set(row[:-1])
            assert len(row) > 1


def test_decoding_stops_at_the_first_end() -> None:
    tokenizer = trained("char", ["ab"])
    a, b, end = ids(tokenizer, "ab")[0]
    assert tokenizer.decode([a, end, b, end]) == "a"
    assert tokenizer.decode([]) == ""


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_text_is_the_end_alone(kind: str) -> None:
    assert ids(KNOWN[kind], "", "") == [[EOS], [EOS]]
    column, cut = KNOWN[kind].encode([])
    assert (column.values.tolist(), column.offsets.tolist(), cut) == ([], [0], 0)


def test_blanks_alone_are_no_words() -> None:
    assert ids(trained(), " \n\t ") == [[EOS]]


@pytest.mark.parametrize(
    "text", ["😀👩‍👩‍👧", "שלום עולם", "مرحبا", "e\u0301\u0323", "a\0b", "ไทย", "\U0001f1e9\U0001f1ea", "\ufeff"]
)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "wordpiece"])
def test_any_script_is_read_and_known_once_seen(kind: str, text: str) -> None:
    column, cut = trained(kind, [text], vocab_size=300).encode([text])
    assert len(column.values) > 1
    assert (unknown_rate(column), cut) == (0, 0)


# --- what it learns


@pytest.mark.parametrize("kind", ["word", "char"])
def test_what_was_not_seen_is_unknown(kind: str) -> None:
    tokenizer = trained(kind, ["ab", "a b"], **({"byte_fallback": False} if kind == "char" else {}))
    (row,) = ids(tokenizer, "a z")
    assert row[0] > EOS
    assert row[-2:] == [UNK, EOS]
    column, _ = tokenizer.encode(["a z z a", ""])
    assert unknown_rate(column) == (2 / 4 if kind == "word" else 2 / 7)


def test_the_most_frequent_tokens_are_kept_and_rare_ones_are_unknown() -> None:
    texts = ["c b b a a a"]
    for kind in ("word", "basic_english"):
        assert ids(trained(kind, texts, vocab_size=5), "a b c") == [[3, 4, UNK, EOS]]
        assert ids(trained(kind, texts, min_frequency=2), "a b c") == [[3, 4, UNK, EOS]]
        assert len(trained(kind, texts, vocab_size=None)) == 6
    for options in ({"vocab_size": 5}, {"min_frequency": 3}):
        assert ids(trained("char", texts, byte_fallback=False, **options), " abc") == [[3, 4, UNK, UNK, EOS]]
    assert len(trained("bpe", ["low lower lowest"] * 9, vocab_size=262)) == 262
    assert len(trained("unigram", [f"low lower lowest {i}" for i in range(500)], vocab_size=270)) == 270


@pytest.mark.parametrize("kind", KINDS)
def test_case_is_folded_only_if_asked(kind: str) -> None:
    if kind != "basic_english":
        assert ids(trained(kind, ["Dog dog"]), "Dog") != ids(trained(kind, ["Dog dog"]), "dog")
    folded = trained(kind, ["Dog dog"], lowercase=True)
    assert ids(folded, "DOG ÄÉ") == ids(folded, "dog äé")
    assert folded.decode(ids(folded, "DOG")[0]) == "dog"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("unigram", "wordpiece")])
def test_training_again_gives_the_same_vocabulary(kind: str) -> None:
    texts = sample(("text",)).splits["train"]["text"][:2000]
    first, second = (trained(kind, texts, vocab_size=600) for _ in range(2))
    assert first.to_dict() == second.to_dict()


@pytest.mark.parametrize("kind", KINDS)
def test_the_texts_may_come_from_a_stream_that_is_read_once(kind: Any) -> None:
    def stream() -> Iterator[str]:
        yield from TEXTS

    assert sorted(TextTokenizer.train(stream(), kind=kind, vocab_size=400).tokens) == sorted(KNOWN[kind].tokens)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_a_mistake_in_the_stream_is_told_as_it_is(kind: Any) -> None:
    def stream() -> Iterator[str]:
        yield "a"
        raise UserError("line 7 of it is broken")

    with pytest.raises(UserError, match="line 7 of it is broken"):
        TextTokenizer.train(stream(), kind=kind)


# --- lengths


@pytest.mark.parametrize(("keep", "kept"), [("start", ["a", "b"]), ("end", ["d", "e"])])
def test_longer_texts_are_cut_and_counted(keep: Any, kept: list[str]) -> None:
    tokenizer = trained("word", ["a b c d e"], max_length=2, keep=keep)
    column, cut = tokenizer.encode(["a b c d e", "a b", "a", ""])
    assert cut == 1
    assert column.lengths.tolist() == [3, 3, 2, 1]
    assert tokenizer.decode(column.row(0)).split() == kept
    assert all(column.row(i)[-1] == EOS for i in range(4))


@given(st.lists(st.text("ab ", max_size=12), max_size=8), st.integers(1, 9), st.sampled_from(["start", "end"]))
def test_a_limit_keeps_a_part_of_what_no_limit_gives(texts: list[str], limit: int, keep: Any) -> None:
    whole = ids(KNOWN["char"], *texts)
    tokenizer = TextTokenizer(KNOWN["char"].backend, limit, keep)
    wanted = [(row[:-1][:limit] if keep == "start" else row[:-1][-limit:]) + [EOS] for row in whole]
    assert ids(tokenizer, *texts) == wanted
    assert tokenizer.encode(texts)[1] == sum(len(text) > limit for text in texts)


def test_a_very_long_document_is_read_whole() -> None:
    words = [f"w{i % 5000}" for i in range(50_000)]
    tokenizer = trained("word", [" ".join(words)])
    column, cut = tokenizer.encode([" ".join(words)])
    assert (column.lengths.tolist(), cut) == ([50_001], 0)
    assert tokenizer.decode(column.row(0)).split() == words


def test_many_texts_keep_their_order() -> None:
    texts = [str(i) for i in range(2500)]
    tokenizer = trained("word", texts)
    assert [tokenizer.decode(row) for row in ids(tokenizer, *texts)] == texts


# --- saved and loaded


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_saved_reads_the_same(kind: str, tmp_path) -> None:
    tokenizer = trained(kind, vocab_size=400, lowercase=True, max_length=6, keep="end")
    tokenizer.encode(TEXTS * 100)  # what it remembers is not saved
    torch.save(tokenizer.to_dict(), tmp_path / "saved")
    loaded = TextTokenizer.from_dict(torch.load(tmp_path / "saved", weights_only=True))
    for again in (loaded, pickle.loads(pickle.dumps(tokenizer))):
        if kind != "unigram":  # its scores change in the last digit when JSON is read, its ids do not
            assert again.to_dict() == tokenizer.to_dict()
        assert again.tokens == tokenizer.tokens
        for text in [*TEXTS, "", "zebra <eos> <unk>"]:
            assert ids(again, text) == ids(tokenizer, text)
            assert again.decode(ids(again, text)[0]) == tokenizer.decode(ids(tokenizer, text)[0])


def test_a_checkpoint_from_before_the_kinds_had_names_still_reads() -> None:
    old = {key: KNOWN["word"].to_dict()[key] for key in ("json", "max_length", "keep")}
    assert ids(TextTokenizer.from_dict(old), *TEXTS) == ids(KNOWN["word"], *TEXTS)


def test_a_saved_vocabulary_is_plain_values_and_comes_back() -> None:
    vocabulary = Vocabulary({"source": trained("word"), "target": trained("char")}, ["a", "b"])
    plain = vocabulary.to_dict()
    again = Vocabulary.from_dict(plain)
    assert again.to_dict() == plain
    assert again.labels == ["a", "b"]
    assert list(again.tokenizers) == ["source", "target"]
    assert type(plain) is dict


# --- what cannot be learned or read


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"kind": "wrod"}, ["tokenizer.kind: there is no 'wrod'", "Did you mean 'word'?", "bpe, byte, char"]),
        ({"keep": "middle"}, ["tokenizer.keep: there is no 'middle'", "end, start"]),
        ({"vocab_size": 3}, ["tokenizer.vocab_size: wanted 4 or more for word, got 3"]),
        ({"kind": "bpe", "vocab_size": 259}, ["tokenizer.vocab_size: wanted 260 or more for bpe, got 259"]),
        ({"kind": "char", "vocab_size": 259}, ["tokenizer.vocab_size: wanted 260 or more for char, got 259"]),
        ({"kind": "byte", "vocab_size": 258}, ["tokenizer.vocab_size: wanted 259 or more for byte, got 258"]),
        ({"kind": "wordpiece", "vocab_size": 9}, ["tokenizer.vocab_size", "wordpiece needs", "ids or more, got 9"]),
        ({"kind": "unigram", "vocab_size": None}, ["tokenizer.vocab_size: wanted a number for unigram, got null"]),
        ({"max_length": 0}, ["tokenizer.max_length: wanted 1 or more", "got 0"]),
        ({"min_frequency": -1}, ["tokenizer.min_frequency: wanted 0 or more, got -1"]),
        ({"kind": "unigram", "min_frequency": 2}, ["tokenizer.min_frequency: unigram has none, got 2"]),
        ({"min_frequency": 9}, ["no word token occurs 9 time(s) or more", "lower tokenizer.min_frequency"]),
        ({"kind": "char", "byte_fallback": False, "min_frequency": 99}, ["no char token occurs 99 time(s) or more"]),
        ({"texts": ["", " "]}, ["no word token occurs 1 time(s) or more", "Give more text"]),
        ({"kind": "bpe", "dropout": 1.5}, ["tokenizer.dropout: wanted a share between 0 and 1, got 1.5"]),
        ({"kind": "bpe", "dropout": float("nan")}, ["tokenizer.dropout: wanted a share between 0 and 1, got nan"]),
        ({"kind": "unigram", "dropout": 0.1}, ["tokenizer.dropout: only tokenizer=bpe has merges", "not unigram"]),
        ({"kind": "bpe", "byte_fallback": True}, ["tokenizer.byte_fallback: only tokenizer=char has it, not bpe"]),
        ({"kind": "bpe", "texts": ["a\ud800b"]}, ["half a character", "'a\\ud800b'", "UTF-8"]),
        ({"kind": "char", "texts": ["a\ud800b"]}, ["half a character", "'a\\ud800b'", "UTF-8"]),
    ],
)
def test_what_cannot_be_learned_is_told_in_one_clear_message(options: dict[str, Any], wanted: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        trained(**options)
    assert all(part in str(caught.value) for part in wanted)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_text_is_told_in_one_clear_message(kind: str) -> None:
    with pytest.raises(UserError, match="half a character"):
        KNOWN[kind].encode(["a", "b\udcff"])
    with pytest.raises(UserError, match="text 2 of 2: wanted a string, got None"):
        KNOWN[kind].encode(["a", None])  # pyright: ignore[reportArgumentType]
