"""A tokenizer's pattern is refused if it can take exponential time, and only then."""

import pytest
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split

from lstm_readout.errors import UserError
from lstm_readout.tokenizer.stored import backend_of


def stored(pattern):
    tokenizer = Tokenizer(WordLevel({"<unk>": 0}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Split(Regex(pattern), "isolated")
    return tokenizer.to_str()


@pytest.mark.parametrize(
    "pattern",
    [r"\d+([.,]\d+)*", r"\w+('\w+)*", r"[a-z]+(?:[-'][a-z]+)*", r"(?:\.\w+)+", r"(ab)+", r" ?\p{L}+|\s+(?!\S)"],
)
def test_a_group_whose_rounds_start_with_a_sign_is_read(pattern):
    backend = backend_of(stored(pattern))
    assert backend.encode("a 1.5,2 don't x-y .a.b" + " 1" * 200 + "!").ids


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"([ab]+)*c", r"(\w+|\d+)*!", r"([.,]+\d*)*", r"((a*)b?)*c"])
def test_a_repeated_repetition_is_refused(pattern):
    with pytest.raises(UserError, match="may never end"):
        backend_of(stored(pattern))
