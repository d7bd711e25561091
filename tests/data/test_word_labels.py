"""A role of kind ``labels``: one label per word, refused where they do not match, and left as they are written."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, unpack_sequence

from lstm_readout.data.batches import Columns
from lstm_readout.data.encoding import lengths_of
from lstm_readout.data.module import TextDataModule
from lstm_readout.errors import UserError
from lstm_readout.tokenizer import EOS, UNK, TextTokenizer
from lstm_readout.tokenizer.ragged import Ragged, pack

ROLES: Any = {"text": "text", "tags": "labels"}


class Batch(NamedTuple):
    words: PackedSequence
    tags: PackedSequence
    written: list[str]

    @classmethod
    def collate(cls, columns: Columns, rows: np.ndarray) -> Batch:
        words, tags = columns["text"], columns["tags"]
        assert isinstance(words, Ragged)
        assert isinstance(tags, Ragged)
        return cls(pack(words, rows), pack(tags, rows), list(columns["tags_text"][rows]))  # pyright: ignore


def corpus(path: Path, tokenizer: dict[str, Any] | None = None, **options: Any) -> TextDataModule:
    fit = partial(TextTokenizer.train, **{"kind": "whitespace", **(tokenizer or {})})
    return TextDataModule(roles=ROLES, batch_type=Batch, tokenizer=fit, name="files", path=str(path), **options)


def rows(path: Path, *pairs: tuple[str, str]) -> Path:
    path.write_text("".join(json.dumps({"text": text, "tags": tags}) + "\n" for text, tags in pairs))
    return path


SENTENCES = [(f"a w{i} U.S. 3.5", "O B-x I-x O") for i in range(9)] + [("a", "O")] * 3


@pytest.mark.parametrize("streaming", [False, True])
def test_each_word_keeps_its_label(tmp_path: Path, streaming: bool) -> None:
    data = corpus(rows(tmp_path / "a.jsonl", *SENTENCES), streaming=streaming, validation=0, test=0, batch_size=4)
    tokens = {role: tokenizer.tokens for role, tokenizer in data.vocabulary.tokenizers.items()}
    assert sorted(tokens["tags"][3:]) == ["B-x", "I-x", "O"]
    seen = []
    for batch in data.train_dataloader():
        assert torch.equal(batch.words.batch_sizes, batch.tags.batch_sizes)
        for words, tags, written in zip(
            unpack_sequence(batch.words), unpack_sequence(batch.tags), batch.written, strict=True
        ):
            assert words[-1] == tags[-1] == EOS
            assert " ".join(tokens["tags"][tag] for tag in tags[:-1]) == written
            seen.append((" ".join(tokens["text"][word] for word in words[:-1]), written))
    assert sorted(seen) == sorted(SENTENCES)


def test_no_setting_of_the_texts_tokenizer_changes_a_label(tmp_path: Path) -> None:
    settings = {"lowercase": True, "min_frequency": 2, "vocab_size": 6}
    data = corpus(rows(tmp_path / "a.jsonl", *SENTENCES, ("Z", "B-Rare")), settings, validation=0, test=0)
    assert len(data.vocabulary.tokenizers["text"]) == 6
    assert "B-Rare" in data.vocabulary.tokenizers["tags"].tokens


def test_a_label_that_training_never_showed_is_unknown(tmp_path: Path) -> None:
    for split, tags in (("train", "O B-x"), ("test", "O I-y")):
        rows(tmp_path / f"{split}.jsonl", *[("a b", tags)] * 3)
    data = corpus(tmp_path, validation=0)
    (batch,) = data.test_dataloader()
    known = data.vocabulary.tokenizers["tags"].tokens.index("O")
    assert [row.tolist() for row in unpack_sequence(batch.tags)] == [[known, UNK, EOS]] * 3
    assert batch.written == ["O I-y"] * 3


@pytest.mark.parametrize("streaming", [False, True])
def test_a_budget_counts_the_words_and_not_their_labels(tmp_path: Path, streaming: bool) -> None:
    path = rows(tmp_path / "a.jsonl", *[(f"a w{i} U.S. 3.5", "O B-x I-x O") for i in range(12)])  # 5 tokens with <eos>
    data = corpus(path, streaming=streaming, validation=0, test=0, max_tokens=20)
    assert [len(batch.words.data) for batch in data.train_dataloader()] == [20, 20, 20]


def test_rows_are_grouped_by_their_words_alone() -> None:
    words, tags = Ragged.from_lists([[3] * 4, [3] * 2, [3]]), Ragged.from_lists([[3], [3] * 9, [3] * 5])
    assert lengths_of({"text": words, "tags": tags}, ROLES).tolist() == [[4], [2], [1]]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_row_with_a_label_too_few_is_named(tmp_path: Path, streaming: bool) -> None:
    path = rows(tmp_path / "a.jsonl", ("a b", "O O"), ("a b c", "O O"), ("a", "O"))
    with pytest.raises(UserError) as refused:
        corpus(path, streaming=streaming).setup()
    assert str(refused.value) == (
        "data.columns.tags: row 2 of files (train) has 3 words and 2 tags: 'a b c'. "
        "Give one per word, separated by spaces."
    )
