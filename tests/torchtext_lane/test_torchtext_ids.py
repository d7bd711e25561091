"""``tokenizer=basic_english`` gives the tokens and ids of torchtext: of a table that it wrote, and of itself."""

import json
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm_readout.tokenizer import SPECIAL_TOKENS, TextTokenizer
from lstm_readout_test_tools import needs_torchtext

REPOSITORY = Path(__file__).parent.parent.parent
FIXTURES = Path(__file__).parent / "fixtures"
LINES = json.loads((FIXTURES / "lines.json").read_text())
TABLE = json.loads((FIXTURES / "ids.json").read_text())


@pytest.mark.parametrize("run", TABLE, ids=lambda run: f"{run['min_freq']}-{run['max_tokens']}")
def test_the_ids_of_the_bundled_lines_are_those_that_torchtext_wrote(run):
    tokenizer = TextTokenizer.train(
        LINES, kind="basic_english", min_frequency=run["min_freq"], vocab_size=run["max_tokens"]
    )
    assert tokenizer.tokens == run["tokens"]
    column, _ = tokenizer.encode(LINES)
    rows = [column.values[start : end - 1].tolist() for start, end in zip(column.offsets, column.offsets[1:])]  # noqa: B905
    assert rows == run["ids"]


@needs_torchtext
def test_the_table_is_what_torchtext_writes(tmp_path):
    file = tmp_path / "ids.json"
    command = [sys.executable, REPOSITORY / "scripts" / "torchtext_ids.py", "write", file]
    subprocess.run([*command, "--texts", FIXTURES / "lines.json"], check=True, capture_output=True)
    assert file.read_bytes() == (FIXTURES / "ids.json").read_bytes()


def known_difference(text):
    """Return whether ``docs/do/torchtext.md`` excludes the text."""
    special = {"<bos>", "<eos>"} & set(text.lower().replace('"', "").split())  # read as unknown: they are commands
    newer = any(unicodedata.category(character) == "Cn" for character in text)  # than this Python's Unicode
    return bool(special) or newer


ALPHABET = st.sampled_from([*"aAbΣςσİ.,'\"()!?;: \t\x1c\x85\xa0\u200b\u0301\u0345<>/", "<br />", "<unk>", "<pad>", " "])
TEXTS = st.lists(
    st.one_of(st.text(), st.lists(ALPHABET).map("".join)).filter(lambda text: not known_difference(text)), min_size=1
)


@needs_torchtext
@given(TEXTS, st.integers(1, 3), st.none() | st.integers(4, 9), st.sampled_from(["basic_english", None]))
def test_any_texts_get_the_ids_of_torchtext(texts, min_freq, max_tokens, name):
    from torchtext.data import get_tokenizer
    from torchtext.vocab import build_vocab_from_iterator

    from lstm_readout.tokenizer.torchtext.tokenizer import train

    split = get_tokenizer(name)
    texts = [*texts, "z z z"]  # at least one word is known
    vocab = build_vocab_from_iterator(
        map(split, texts), min_freq=min_freq, max_tokens=max_tokens, specials=list(SPECIAL_TOKENS)
    )
    vocab.set_default_index(0)
    if len(vocab) == len(SPECIAL_TOKENS):
        return  # refused here: "<unk>" alone was kept
    tokenizers = [train(texts, name=name, min_freq=min_freq, max_tokens=max_tokens)]
    if name is not None:
        tokenizers.append(
            TextTokenizer.train(texts, kind="basic_english", min_frequency=min_freq, vocab_size=max_tokens)
        )
    for tokenizer in tokenizers:
        assert tokenizer.tokens == vocab.get_itos()
        for text in texts:
            assert tokenizer.encode([text])[0].values.tolist() == [*vocab(split(text)), 2]


@pytest.mark.parametrize("word", ["<bos>", "<eos>"])
def test_a_command_in_a_text_is_unknown_where_torchtext_would_obey_it(word):
    tokenizer = TextTokenizer.train([f"a {word} b"], kind="basic_english")
    assert tokenizer.encode([f"a {word} b"])[0].values.tolist() == [3, 0, 4, 2]
    assert tokenizer.tokens == [*SPECIAL_TOKENS, "a", "b"]
