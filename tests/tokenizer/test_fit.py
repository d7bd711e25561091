"""Each kind of tokenizer does what its paper or its model library does."""

from __future__ import annotations

import copy
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders

from lstm_readout.data.synthetic import sample
from lstm_readout.tokenizer import EOS, UNK, TextTokenizer
from lstm_readout.tokenizer import piece_cache as pieces_module
from lstm_readout.tokenizer.piece_cache import CUTS, PieceEncoder, encode_whole
from lstm_readout.tokenizer.ragged import Ragged

CUT: tuple[Any, ...] = ("word", "whitespace", "basic_english", "wordpiece", "bpe", "unigram")
TEXTS = [
    "A man's hat , in the park (or not).",
    'the "quick" brown fox; don\'t! <br />3.5 km',
    "naïve 😀 e\u0301 שלום\n\tx",
    "word<BR />word wordword #1",
]
any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
# what rules of words look at, more often than chance would bring it
hard_text = st.lists(
    st.sampled_from(
        [*"aRr \t\n.,'\"!?;:()</>-15İΣσ漢\0\x1c\x85\xa0\u2028\u200d\ufdd0_#▁", "<br />", '<br"/>', "  ", "'s"]
    )
).map("".join)


def ids(tokenizer: TextTokenizer, text: str, **options: Any) -> list[int]:
    return tokenizer.encode([text], **options)[0].row(0).tolist()


def pieces(tokenizer: TextTokenizer, text: str) -> list[str]:
    return [tokenizer.tokens[number] for number in ids(tokenizer, text)[:-1]]


# --- byte and char


def test_byte_reads_utf_8() -> None:
    tokenizer = TextTokenizer.train([], kind="byte")
    assert len(tokenizer) == 259
    assert ids(tokenizer, "aé\0") == [3 + byte for byte in "aé\0".encode()] + [EOS]
    assert tokenizer.tokens[3 + ord("a")] == "a"
    assert tokenizer.tokens[3 + 0xC3] == "<0xC3>"
    assert tokenizer.decode([3 + 0xFF, 3 + ord("a")]) == "\ufffda"  # no UTF-8


def test_char_counts_characters_and_knows_the_others_by_their_bytes() -> None:
    tokenizer = TextTokenizer.train(["bab c", "ab"], kind="char")
    closed = TextTokenizer.train(["bab c", "ab"], kind="char", byte_fallback=False)
    assert closed.tokens == ["<unk>", "<bos>", "<eos>", "b", "a", " ", "c"]
    assert tokenizer.tokens[259:] == ["b", "a", " ", "c"]
    assert ids(tokenizer, "aé") == [260, 3 + 0xC3, 3 + 0xA9, EOS]
    assert tokenizer.decode(ids(tokenizer, "aé漢<0x41>")) == "aé漢<0x41>"
    assert ids(closed, "aéé") == [4, UNK, UNK, EOS]
    assert closed.decode(ids(closed, "aéb")) == "a<unk>b"


@given(st.lists(any_text, max_size=4))
def test_char_without_bytes_is_each_character_by_its_frequency(texts: list[str]) -> None:
    counts = Counter("".join(texts))
    order = sorted(counts, key=lambda character: (-counts[character], character))
    if order:
        tokenizer = TextTokenizer.train(texts, kind="char", byte_fallback=False)
        assert tokenizer.tokens[3:] == order
        for text in texts:
            assert ids(tokenizer, text) == [3 + order.index(character) for character in text] + [EOS]


# --- subwords


def test_bpe_dropout_draws_in_training_alone() -> None:
    texts = ["low lower lowest newest widest"] * 50
    plain = TextTokenizer.train(texts, kind="bpe", vocab_size=300)
    tokenizer = TextTokenizer.train(texts, kind="bpe", vocab_size=300, dropout=0.5)
    assert (plain.resamples, tokenizer.resamples) == (False, True)
    drawn = [tuple(ids(tokenizer, texts[0], training=True)) for _ in range(20)]
    assert len(set(drawn)) > 5
    assert {tokenizer.decode(row) for row in drawn} == {texts[0]}
    assert {tuple(ids(plain, texts[0], training=True)) for _ in range(5)} == {tuple(ids(plain, texts[0]))}
    for again in (tokenizer, copy.deepcopy(tokenizer), TextTokenizer.from_dict(tokenizer.to_dict())):
        assert again.resamples
        assert {tuple(ids(again, texts[0])) for _ in range(20)} == {tuple(ids(plain, texts[0]))}
    assert Tokenizer.from_str(tokenizer.to_dict()["json"]).model.dropout is None  # pyright: ignore


def test_all_merges_dropped_leave_bytes() -> None:
    tokenizer = TextTokenizer.train(["aaaa bbbb"] * 9, kind="bpe", vocab_size=300, dropout=1.0)
    assert len(ids(tokenizer, "aaaa bbbb", training=True)) == 9 + 1
    assert len(ids(tokenizer, "aaaa bbbb")) < 9 + 1


def test_unigram_takes_the_most_probable_segmentation() -> None:
    texts = sample(("text",)).splits["train"]["text"][:3000]
    tokenizer = TextTokenizer.train(texts, kind="unigram", vocab_size=400)
    whole = [text for text in tokenizer.tokens if text.strip().isalpha() and len(text) > 5]
    assert len(whole) > 20
    assert all(pieces(tokenizer, text) == [text] for text in whole)


def test_wordpiece_takes_the_longest_known_beginning() -> None:
    tokenizer = TextTokenizer.train(["un able unable ables"] * 9, kind="wordpiece", vocab_size=200)
    assert pieces(tokenizer, "unable able unables") == ["unable", "able", "unable", "##s"]
    assert tokenizer.decode(ids(tokenizer, "unables able")) == "unables able"
    assert ids(tokenizer, "a" * 101) == [UNK, EOS]  # BERT's limit for one word


# --- words


def test_word_splits_letters_from_punctuation() -> None:
    tokenizer = TextTokenizer.train(["It's 3.5, isn't it?"])
    assert pieces(tokenizer, "It's 3.5, isn't it?") == ["It", "'", "s", "3", ".", "5", ",", "isn", "'", "t", "it", "?"]


@given(st.lists(hard_text | any_text, max_size=4), hard_text | any_text)
def test_whitespace_is_the_split_of_python(texts: list[str], text: str) -> None:
    tokenizer = TextTokenizer.train([*texts, "a"], kind="whitespace")
    words = [word for known in texts for word in known.split()]
    assert sorted(tokenizer.tokens[3:]) == sorted({*words, "a"})
    assert pieces(tokenizer, text) == [word if word in {*words, "a"} else "<unk>" for word in text.split()]
    for known in texts:
        assert tokenizer.decode(ids(tokenizer, known)) == " ".join(known.split())


def test_basic_english_is_the_chain_of_torchtext() -> None:
    text = 'Don\'t "stop"; NOW: (a,b). x<br />y!? ΟΔΟΣ\x1cz <unk>'
    tokenizer = TextTokenizer.train([text], kind="basic_english")
    wanted = ["don", "'", "t", "stop", "now", *"(a,b).xy!?", "οδος", "z", "<unk>"]
    assert pieces(tokenizer, text) == wanted
    assert tokenizer.tokens[3:] == sorted(set(wanted) - {"<unk>"})  # all seen once: the order of code points


# --- spaces


@pytest.mark.parametrize("kind", ["word", "basic_english", "wordpiece"])
def test_spaces_are_written_as_the_training_texts_have_them(kind: Any) -> None:
    texts = ["a man, in the park (or not).", "don't!", "a - b: 3.5 is (not) 4."]
    tokenizer = TextTokenizer.train(texts, kind=kind)
    lost = {":": ""} if kind == "basic_english" else {}
    for text in texts:
        assert tokenizer.decode(ids(tokenizer, text)) == text.translate(str.maketrans(lost))
    before = TextTokenizer.train(["a man , in the park ( or not ) .", "do n't !"], kind=kind)
    assert before.decode(ids(before, "a man , in ( the park ) .")) == "a man , in ( the park ) ."
    assert tokenizer.decode(ids(tokenizer, "漢, (漢) in 漢!")) == "<unk>, (<unk>) in <unk>!"


@pytest.mark.parametrize("roles", [("text", "label"), ("source", "target"), ("text",)])
def test_the_samples_come_back_from_words_unchanged(roles: tuple[str, ...]) -> None:
    for texts in sample(roles).splits["train"].values():
        tokenizer = TextTokenizer.train(texts)
        assert [tokenizer.decode(ids(tokenizer, text)) for text in texts[:1000]] == texts[:1000]


@given(hard_text, hard_text)
@example("a <b> c", "<unk>")
@pytest.mark.parametrize("kind", ["word", "wordpiece"])
def test_text_that_grows_keeps_its_beginning(kind: Any, training: str, text: str) -> None:
    tokenizer = TextTokenizer.train([training, "x, (y)."], kind=kind)
    row = ids(tokenizer, text)[:-1]
    told = [tokenizer.decode(row[:length]) for length in range(len(row) + 1)]
    assert all(longer.startswith(shorter) for shorter, longer in pairwise(told))
    without = decoders.WordPiece(prefix="##" if kind == "wordpiece" else " ", cleanup=False)
    apart = without.decode([tokenizer.backend.id_to_token(number) or "" for number in row])
    assert told[-1].replace(" ", "") == apart.replace(" ", "")


# --- the fast path


@settings(max_examples=60)
@given(st.lists(hard_text | any_text, max_size=6), st.booleans())
@example(['a <br "/>b', "her <br />/ or /", "the /b r", "a\ufdd0b c", "x  y \n z "], False)
@pytest.mark.parametrize("kind", CUT)
def test_pieces_that_are_remembered_give_the_ids_of_whole_texts(kind: Any, texts: list[str], lowercase: bool) -> None:
    backend = BACKENDS[kind, lowercase]
    encoder = PieceEncoder(backend, CUTS[kind])
    for given_texts in (texts, texts[::-1], texts):
        same(encoder(given_texts), encode_whole(backend, given_texts))


@pytest.mark.parametrize("kind", CUT)
@pytest.mark.parametrize(("few", "together", "most"), [(0, 3, 500_000), (0, 500, 5), (10**9, 1, 0)])
def test_how_pieces_are_gathered_changes_nothing(kind: Any, few: int, together: int, most: int, monkeypatch) -> None:
    for name, value in (("FEW", few), ("TOGETHER", together), ("MOST", most)):
        monkeypatch.setattr(pieces_module, name, value)
    backend = BACKENDS[kind, False]
    encoder = PieceEncoder(backend, CUTS[kind])
    for texts in (TEXTS, ["", "a"], TEXTS * 3, ["zz, b a", *TEXTS]):
        same(encoder(texts), encode_whole(backend, texts))


BACKENDS = {
    (kind, lowercase): TextTokenizer.train(TEXTS, kind=kind, vocab_size=400, lowercase=lowercase).backend
    for kind in CUT
    for lowercase in (False, True)
}


def same(column: Ragged, wanted: Ragged) -> None:
    np.testing.assert_array_equal(column.values, wanted.values)
    np.testing.assert_array_equal(column.offsets, wanted.offsets)
