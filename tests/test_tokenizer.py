"""Text becomes ids and text again; what a vocabulary does not know, it says."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lstm_readout.data.samples import sample
from lstm_readout.errors import UserError
from lstm_readout.tokenizer import BOS, EOS, SPECIAL_TOKENS, UNK, TextTokenizer, Vocabulary, unknown_rate

KINDS: tuple[Any, ...] = ("word", "char", "bpe")
TEXTS = ["the dog barks .", "two dogs bark !", "naïve 😀 e\u0301 שלום\n\tx", "<eos> <bos>"]
unicode_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def ids(tokenizer: TextTokenizer, *texts: str) -> list[list[int]]:
    column, _ = tokenizer.encode(texts)
    return [column.row(i).tolist() for i in range(len(texts))]


def trained(kind: Any = "word", texts: list[str] = TEXTS, **options: Any) -> TextTokenizer:
    return TextTokenizer.train(texts, kind=kind, **options)


BYTES = trained("bpe", vocab_size=300)


# --- there and back


@given(unicode_text)
@example("")
@example("\0")
@example("<eos>")
@example("<unk> <bos>a<eos>")
@example("\r\n\u2028\ufeff e\u0301 👩‍👩‍👧 \u202eאב\u202c")
def test_bpe_gives_any_text_back_unchanged(text: str) -> None:
    (row,) = ids(BYTES, text)
    assert BYTES.decode(row) == text
    assert row[-1] == EOS
    assert not {UNK, BOS, EOS} & set(row[:-1])


@given(unicode_text.filter(bool))
@example("\0\n\r\t ")
@example("<eos><bos><unk>")
def test_char_gives_known_characters_back_and_reads_one_id_each(text: str) -> None:
    tokenizer = trained("char", [text])
    (row,) = ids(tokenizer, text)
    assert tokenizer.decode(row) == text
    assert len(row) == len(text) + 1
    assert not {UNK, BOS, EOS} & set(row[:-1])


def test_word_splits_letters_from_punctuation() -> None:
    tokenizer = trained("word", ["It's 3.5, isn't it?"])
    (row,) = ids(tokenizer, "It's 3.5, isn't it?")
    assert tokenizer.decode(row) == "It ' s 3 . 5 , isn ' t it ?"


@pytest.mark.parametrize("kind", KINDS)
def test_the_special_ids_are_the_same_in_every_vocabulary(kind: str) -> None:
    tokenizer = trained(kind, vocab_size=300)
    assert [tokenizer.backend.token_to_id(token) for token in SPECIAL_TOKENS] == [UNK, BOS, EOS]
    assert len(tokenizer) == tokenizer.backend.get_vocab_size()


@pytest.mark.parametrize("kind", KINDS)
def test_special_words_in_a_text_are_words_and_no_commands(kind: str) -> None:
    for texts in (TEXTS, ["<eos> <eos> <eos><eos> <bos> <unk>"] * 9):
        for row in ids(trained(kind, texts, vocab_size=400), "<eos>", "a <bos><eos> b", "<eos><eos>"):
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
    assert ids(trained(kind, vocab_size=300), "", "") == [[EOS], [EOS]]


def test_blanks_alone_are_no_words() -> None:
    assert ids(trained(), " \n\t ") == [[EOS]]


@pytest.mark.parametrize(
    "text", ["😀👩‍👩‍👧", "שלום עולם", "مرحبا", "e\u0301\u0323", "a\0b", "ไทย", "\U0001f1e9\U0001f1ea", "\ufeff"]
)
@pytest.mark.parametrize("kind", KINDS)
def test_any_script_is_read_and_known_once_seen(kind: str, text: str) -> None:
    column, cut = trained(kind, [text], vocab_size=300).encode([text])
    assert len(column.values) > 1
    assert (unknown_rate(column), cut) == (0, 0)


# --- what it learns


@pytest.mark.parametrize("kind", ["word", "char"])
def test_what_was_not_seen_is_unknown(kind: str) -> None:
    tokenizer = trained(kind, ["ab", "a b"])
    (row,) = ids(tokenizer, "a z")
    assert row[0] > EOS
    assert row[-2:] == [UNK, EOS]
    column, _ = tokenizer.encode(["a z z a", ""])
    assert unknown_rate(column) == (2 / 4 if kind == "word" else 2 / 7)


def test_the_most_frequent_tokens_are_kept_and_rare_ones_are_unknown() -> None:
    texts = ["c b b a a a"]
    assert ids(trained("word", texts, vocab_size=5), "a b c") == [[3, 4, UNK, EOS]]
    assert ids(trained("word", texts, min_frequency=2), "a b c") == [[3, 4, UNK, EOS]]
    assert len(trained("bpe", ["low lower lowest"] * 9, vocab_size=262)) == 262


def test_case_is_folded_only_if_asked() -> None:
    assert ids(trained("word", ["Dog dog"], lowercase=True), "DOG dog") == [[3, 3, EOS]]
    assert ids(trained("word", ["Dog dog"]), "DOG") == [[UNK, EOS]]


@pytest.mark.parametrize("kind", KINDS)
def test_training_again_gives_the_same_vocabulary(kind: str) -> None:
    texts = sample(("text",)).splits["train"]["text"][:2000]
    first, second = (trained(kind, texts, vocab_size=600) for _ in range(2))
    assert first.to_dict() == second.to_dict()


# --- lengths


@pytest.mark.parametrize(("keep", "kept"), [("start", ["a", "b"]), ("end", ["d", "e"])])
def test_longer_texts_are_cut_and_counted(keep: Any, kept: list[str]) -> None:
    tokenizer = trained("word", ["a b c d e"], max_length=2, keep=keep)
    column, cut = tokenizer.encode(["a b c d e", "a b", "a", ""])
    assert cut == 1
    assert column.lengths.tolist() == [3, 3, 2, 1]
    assert tokenizer.decode(column.row(0)).split() == kept
    assert all(column.row(i)[-1] == EOS for i in range(4))


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
def test_what_is_saved_reads_the_same(kind: str) -> None:
    tokenizer = trained(kind, vocab_size=300, lowercase=True, max_length=6, keep="end")
    for again in (TextTokenizer.from_dict(tokenizer.to_dict()), pickle.loads(pickle.dumps(tokenizer))):
        assert again.to_dict() == tokenizer.to_dict()
        for text in [*TEXTS, "", "zebra <eos> <unk>"]:
            assert ids(again, text) == ids(tokenizer, text)
            assert again.decode(ids(again, text)[0]) == tokenizer.decode(ids(tokenizer, text)[0])


def test_a_saved_vocabulary_is_plain_values_and_comes_back() -> None:
    vocabulary = Vocabulary({"source": trained("word"), "target": trained("char")}, ["a", "b"])
    plain = vocabulary.to_dict()
    again = Vocabulary.from_dict(plain)
    assert again.to_dict() == plain
    assert again.labels == ["a", "b"]
    assert list(again.tokenizers) == ["source", "target"]
    assert type(plain) is dict


# --- what cannot be learned


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"kind": "wrod"}, ["tokenizer.kind: there is no 'wrod'", "Did you mean 'word'?", "bpe, char, word"]),
        ({"keep": "middle"}, ["tokenizer.keep: there is no 'middle'", "end, start"]),
        ({"vocab_size": 3}, ["tokenizer.vocab_size: wanted 4 or more for word, got 3"]),
        ({"kind": "bpe", "vocab_size": 259}, ["tokenizer.vocab_size: wanted 260 or more for bpe, got 259"]),
        ({"max_length": 0}, ["tokenizer.max_length: wanted 1 or more", "got 0"]),
        ({"min_frequency": -1}, ["tokenizer.min_frequency: wanted 0 or more, got -1"]),
        ({"min_frequency": 9}, ["no word token 9 time(s) or more", "lower tokenizer.min_frequency"]),
        ({"texts": ["", " "]}, ["no word token 1 time(s) or more", "Give more text"]),
    ],
)
def test_what_cannot_be_learned_is_told_in_one_clear_message(options: dict[str, Any], wanted: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        trained(**options)
    assert all(part in str(caught.value) for part in wanted)
    assert len(str(caught.value).splitlines()) == 1
