"""A tokenizer of the user's own: what a checkpoint stores of it is all of it, and its code counts in the cache."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import partial
from importlib import import_module, invalidate_caches
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from tokenizers import NormalizedString, PreTokenizedString, Regex, Tokenizer, models, pre_tokenizers, trainers

from lstm_readout.commands import evaluate, predict, train
from lstm_readout.data.cache import fingerprint
from lstm_readout.data.encoding import fit_vocabulary
from lstm_readout.errors import UserError
from lstm_readout.tokenizer import SPECIAL_TOKENS, TextTokenizer
from lstm_readout.tokenizer.ragged import Ragged

TEXTS = ["don't pay 5 for #one", "<unk> is a word of this text, <eos> too", "#one more"]
RULE = r"#?\w+('\w+)*|[^\w\s]"


def word_backend(rule: str = RULE, special: list[str] = SPECIAL_TOKENS, texts: Iterable[str] = TEXTS) -> Tokenizer:
    backend = Tokenizer(models.WordLevel(unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(rule), "removed", invert=True)
    backend.train_from_iterator(texts, trainers.WordLevelTrainer(special_tokens=special, show_progress=False))
    return backend


def tokens_of(tokenizer: TextTokenizer, text: str) -> list[str]:
    return [tokenizer.tokens[number] for number in tokenizer.encode([text])[0].values]


@pytest.mark.parametrize("special", [SPECIAL_TOKENS, ["<eos>", "[X]", "<unk>"], ["<unk>", "</s>"]])
def test_a_backend_gives_its_tokens_with_the_ids_of_this_project(special: list[str]) -> None:
    tokenizer = TextTokenizer.from_backend(word_backend(special=special))
    assert tokens_of(tokenizer, "don't pay #one euro") == [
        *("don't", "pay", "#one"),
        special[special.index("<unk>")],
        ("</s>" if "</s>" in special else "<eos>"),
    ]
    assert tokenizer.encode(["euro"])[0].values.tolist() == [0, 2]
    assert tokenizer.decode(tokenizer.encode(["don't pay #one"])[0].values) == "don't pay #one"


def test_what_a_checkpoint_stores_is_the_tokenizer() -> None:
    tokenizer = TextTokenizer.from_backend(word_backend(), kind="mine", max_length=3, keep="end", reverse=True)
    stored = TextTokenizer.from_dict(tokenizer.to_dict())
    assert stored.to_dict() == tokenizer.to_dict()
    assert tokens_of(stored, "don't pay 5 for #one") == ["#one", "for", "5", "<eos>"]
    assert stored.kind == "mine"


def test_the_backend_of_the_user_stays_unchanged() -> None:
    backend = word_backend()
    backend.enable_truncation(2)
    before = backend.to_str()
    assert tokens_of(TextTokenizer.from_backend(backend), "pay 5 for #one") == ["pay", "5", "for", "#one", "<eos>"]
    assert backend.to_str() == before


class Upper:
    def split(self, number: int, text: NormalizedString) -> list[NormalizedString]:
        return [text]

    def pre_tokenize(self, text: PreTokenizedString) -> None:
        text.split(self.split)


def test_python_code_in_the_backend_is_refused() -> None:
    backend = word_backend()
    backend.pre_tokenizer = pre_tokenizers.PreTokenizer.custom(Upper())
    with pytest.raises(UserError, match=r"backend cannot be stored in a checkpoint: .*pre_tokenizers\.Split"):
        TextTokenizer.from_backend(backend)


@pytest.mark.parametrize(
    ("special", "options", "message"),
    [
        (["<unk>"], {}, r"tokenizer\.eos_token: the backend has none of the usual tokens that end a text"),
        (SPECIAL_TOKENS, {"eos_token": "<end>"}, r"tokenizer\.eos_token: the backend has no token '<end>'"),
        (SPECIAL_TOKENS, {"kind": "word"}, "tokenizer kind 'word' is the name of a built-in rule"),
        (SPECIAL_TOKENS, {"kind": "moses"}, "tokenizer kind 'moses'"),
        (SPECIAL_TOKENS, {"max_length": 0}, "tokenizer.max_length: wanted 1 or more"),
    ],
)
def test_a_backend_that_cannot_be_used_is_refused(special: list[str], options: dict[str, Any], message: str) -> None:
    backend = word_backend(special=special, texts=["a b"])
    with pytest.raises(UserError, match=message):
        TextTokenizer.from_backend(backend, **options)


# --- what fits it


class Shouting(TextTokenizer):
    """Encodes by code of its own."""

    def encode(self, texts: Any, *, training: bool = False) -> tuple[Ragged, int]:
        return super().encode([text.split("!")[0] for text in texts], training=training)


class Counting(TextTokenizer):
    """Does more while it is fitted, and encodes as its backend does."""

    @classmethod
    def fit(cls, texts: Iterable[str]) -> Counting:
        tokenizer = cls(word_backend(texts=texts), kind="mine")
        tokenizer.seen = len(list(texts))
        return tokenizer

    seen = 0


def rows(*texts: str) -> Dataset:
    return Dataset.from_dict({"text": list(texts)})


def test_a_subclass_that_encodes_as_its_backend_does_is_stored_as_that() -> None:
    vocabulary = fit_vocabulary(rows(*TEXTS), {"text": "text"}, Counting.fit)
    assert type(vocabulary.tokenizers["text"]) is TextTokenizer
    expected = Counting.fit(TEXTS).encode(TEXTS)[0]
    assert np.array_equal(vocabulary.tokenizers["text"].encode(TEXTS)[0].values, expected.values)


def test_a_subclass_that_encodes_by_its_own_code_is_refused() -> None:
    fit = partial(Shouting, word_backend())
    with pytest.raises(UserError, match=r"Shouting encodes or decodes with Python code of its own"):
        fit_vocabulary(rows("#one !more"), {"text": "text"}, lambda texts: fit())


def test_what_is_no_tokenizer_is_refused() -> None:
    with pytest.raises(UserError, match=r"wanted a TextTokenizer, got tokenizers\.Tokenizer\. Use TextTokenizer\.from"):
        fit_vocabulary(rows("a"), {"text": "text"}, lambda texts: word_backend())  # pyright: ignore


# --- its code in the cache's name

MODULE = """
from own_rule import RULE
def train(texts, *, size=5): return RULE
class Tags:
    @classmethod
    def train(cls, texts): return RULE
class More(Tags): pass
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "own_tokenizer.py").write_text(MODULE)
    (tmp_path / "own_rule.py").write_text("RULE = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    invalidate_caches()
    yield import_module("own_tokenizer")
    for name in ("own_tokenizer", "own_rule"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("changed", ["own_tokenizer.py", "own_rule.py"])
def test_a_change_of_the_code_is_noticed(module: Any, tmp_path: Path, changed: str) -> None:
    fit = partial(module.train, size=3)
    before = fingerprint({}, fit)
    assert before is not None
    assert fingerprint({}, fit) == before
    with (tmp_path / changed).open("a") as file:
        file.write("# another rule\n")
    assert fingerprint({}, fit) != before


def test_a_class_method_that_is_inherited_has_the_name_of_its_class(module: Any) -> None:
    assert fingerprint({}, module.Tags.train) != fingerprint({}, module.More.train)
    assert fingerprint({}, module.Tags) != fingerprint({}, module.More)
    assert fingerprint({}, partial(module.train, size=3)) != fingerprint({}, partial(module.train, size=4))


def test_code_that_is_in_no_file_is_not_cached(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sys.modules["own_tokenizer"], "__file__")
    assert fingerprint({}, module.train) is None


# --- whole runs

OWN = """
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
from lstm_readout.tokenizer import SPECIAL_TOKENS, TextTokenizer

def train(texts, *, size: int = 100, max_length=None, keep="start", reverse=False):
    backend = Tokenizer(models.WordLevel(unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex("[aeiou]?[^aeiou]*"), "isolated")
    backend.train_from_iterator(texts, trainers.WordLevelTrainer(vocab_size=size, special_tokens=SPECIAL_TOKENS))
    return TextTokenizer.from_backend(backend, kind="syllables", max_length=max_length, keep=keep, reverse=reverse)
"""


def test_a_run_is_used_without_the_code_that_made_its_tokenizer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("code").mkdir()
    Path("code", "syllables.py").write_text(OWN)
    Path("configs", "tokenizer").mkdir(parents=True)
    Path("configs", "tokenizer", "mine.yaml").write_text("defaults: [base]\n_target_: syllables.train\nsize: 60\n")
    small = ["data.max_rows=80", "trainer.max_epochs=1", "model.hidden_size=8", "model.embedding_size=8", "doctor=off"]
    given = ["task=classify", "tokenizer=mine", *small, "hydra.run.dir=run", "--config-dir", "configs"]
    with monkeypatch.context() as patch:
        patch.syspath_prepend("code")
        invalidate_caches()
        with pytest.raises(SystemExit):
            train.main([*given, "tokenizer.sise=3"])
        assert "Did you mean 'tokenizer.size'?" in capsys.readouterr().err
        train.main(given)
    sys.modules.pop("syllables")
    with pytest.raises(ModuleNotFoundError):
        import_module("syllables")
    evaluate.main(["checkpoint=run/checkpoints/best.ckpt"])
    predict.main(["checkpoint=run/checkpoints/best.ckpt", "text=a fine film"])
    assert '"probabilities"' in capsys.readouterr().out
