"""``tokenizer=torchtext`` gives what torchtext itself gives, by each of its tokenizers."""

import json
from pathlib import Path

import pytest
import torch

from lstm_readout.errors import UserError
from lstm_readout.tokenizer import SPECIAL_TOKENS, TextTokenizer
from lstm_readout.tokenizer.torchtext.tokenizer import train
from lstm_readout_test_tools import has_torchtext, needs_torchtext

pytestmark = needs_torchtext
FIXTURES = Path(__file__).parent / "fixtures"
LINES = json.loads((FIXTURES / "lines.json").read_text())
NAMES = ["basic_english", None, "toktok", "moses", "revtok", "subword"]

if has_torchtext():
    from torchtext.data import get_tokenizer
    from torchtext.vocab import build_vocab_from_iterator


@pytest.mark.parametrize("options", [{}, {"min_freq": 2}, {"max_tokens": 40}, {"specials": ["<pad>", "<sep>"]}])
@pytest.mark.parametrize("name", NAMES)
def test_tokens_and_ids_are_those_of_torchtext(name, options):
    texts = [line for line in LINES if name != "subword" or line != " "]
    split = get_tokenizer(name)
    rest = {key: value for key, value in options.items() if key != "specials"}
    specials = [*SPECIAL_TOKENS, *options.get("specials", [])]
    vocab = build_vocab_from_iterator(map(split, texts), specials=specials, **rest)
    vocab.set_default_index(vocab["<unk>"])
    tokenizer = train(iter(texts), name=name, **options)
    kept = TextTokenizer.from_dict(json.loads(json.dumps(tokenizer.to_dict())))  # as a checkpoint keeps it
    for one in (tokenizer, kept):
        assert len(one) == len(vocab)
        assert [one.backend.id_to_token(i) for i in range(len(one))] == vocab.get_itos()
        column, _ = one.encode(texts)
        ids = [column.values[a:b].tolist() for a, b in zip(column.offsets[:-1], column.offsets[1:], strict=True)]
        assert ids == [[*vocab(split(line)), 2] for line in texts]


@pytest.mark.parametrize("name", NAMES)
def test_what_was_read_is_written_as_a_person_does(name):
    text = "well, the cast (all of it) was good: really good!"
    tokenizer = train([text], name=name)
    told = tokenizer.decode(tokenizer.encode([text])[0].values)
    assert told == (text.replace(":", "") if name == "basic_english" else text)  # which drops colons


def test_a_long_text_is_cut_and_counted():
    tokenizer = train(["a b c d"], name=None, max_length=3, keep="end")
    column, cut = tokenizer.encode(["a b c d", "a"])
    assert tokenizer.decode(column.values) == "b c d"
    assert cut == 1
    turned = train(["a b c d"], name=None, max_length=3, keep="end", reverse=True)
    assert [turned.tokens[i] for i in turned.encode(["a b c d"])[0].values] == ["d", "c", "b", "<eos>"]


def test_a_saved_vocab_gives_the_ids_of_its_order():
    vocab = torch.load(FIXTURES / "vocab.pt", weights_only=False)  # written by scripts/torchtext_checkpoints.py
    assert vocab.get_itos()[:4] == ["<pad>", "<s>", "</s>", "<unk>"]
    tokenizer = train(["anything"], vocab_path=str(FIXTURES / "vocab.pt"))
    theirs = [3, 1, 2, 0, *range(4, len(vocab))]  # <unk>, <bos> and <eos> first, the others as they stood
    assert tokenizer.tokens == [vocab.lookup_token(i) for i in theirs]
    text = "The film was new, the end."
    expected = [theirs.index(i) for i in vocab(get_tokenizer("basic_english")(text))]
    assert tokenizer.encode([text])[0].values.tolist() == [*expected, 2]
    kept = TextTokenizer.from_dict(tokenizer.to_dict())
    assert kept.encode([text])[0].values.tolist() == [*expected, 2]
    assert kept.decode(kept.encode(["the film was good"])[0].values) == "the film was good"


@pytest.mark.parametrize(
    ("tokens", "options", "begins"),
    [
        (["a", "b"], {}, ["<unk>", "<bos>", "<eos>", "a", "b"]),
        (["a", "[UNK]", "b"], {}, ["[UNK]", "<bos>", "<eos>", "a", "b"]),
        (["a", "oov", "b", "end"], {"unk_token": "oov", "eos_token": "end"}, ["oov", "<bos>", "end", "a", "b"]),
    ],
)
def test_special_tokens_of_a_saved_list_are_found_named_or_new(tmp_path, tokens, options, begins):
    file = tmp_path / "tokens.pt"
    torch.save(tokens, file)
    tokenizer = train([], name=None, vocab_path=str(file), **options)
    assert tokenizer.tokens == begins
    assert tokenizer.encode(["b nowhere a"])[0].values.tolist() == [4, 0, 3, 2]


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"min_freq": 0}, "tokenizer.min_freq: wanted 1 or more, got 0"),
        ({"max_tokens": 3}, "tokenizer.max_tokens: wanted 4 or more, as 3 are special, got 3"),
        ({"specials": ["<eos>"]}, "tokenizer.specials=.'<eos>'.: <unk>, <bos>, <eos> are added automatically"),
        ({"min_freq": 99}, "no token occurs 99 time.s. or more"),
        ({"keep": "middle"}, "tokenizer.keep: there is no 'middle'"),
        ({"vocab_path": "nowhere.pt"}, "tokenizer.vocab_path: no such file: 'nowhere.pt'"),
        (
            {"vocab_path": str(FIXTURES / "vocab.pt"), "min_freq": 2},
            "tokenizer.min_freq: the Vocab .* is used unchanged",
        ),
        ({"vocab_path": str(FIXTURES / "vocab.pt"), "eos_token": "end."}, "has no token 'end.'. It begins with: <pad>"),
        ({"vocab_path": str(FIXTURES / "vocab.pt"), "bos_token": "</s>"}, "one token has two roles"),
    ],
)
def test_a_mistake_is_one_message(options, wanted):
    with pytest.raises(UserError, match=wanted):
        train(["a b", "b"], **options)


def test_half_a_character_is_told():
    with pytest.raises(UserError, match="lone surrogate"):
        train(["a \ud800"])


def test_a_text_at_which_the_library_fails_is_told():
    with pytest.raises(UserError, match=r"tokenizer.name=subword: fails on a text \(IndexError"):
        train(["good", " "], name="subword")
