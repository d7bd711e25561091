"""What people give a pipeline: lists of strings in many forms, and what only looks like one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset

from lstm_readout import DocumentClassifier
from lstm_readout.errors import UserError
from lstm_readout.inference.texts import as_texts
from lstm_readout.models import Classifier
from lstm_readout.tokenizer import TextTokenizer, Vocabulary

ROWS = ["a dull plot", "", "a good one"]
FRAME = pd.DataFrame({"text": ROWS})


@pytest.mark.parametrize(
    "given",
    [
        ROWS,
        tuple(ROWS),
        iter(ROWS),
        FRAME["text"],
        FRAME["text"].astype("category"),
        FRAME["text"].to_numpy(),
        np.array(ROWS),
        Dataset.from_dict({"text": ROWS})["text"],
        dict.fromkeys(ROWS).keys(),
    ],
    ids=lambda given: type(given).__name__,
)
def test_a_column_of_strings_is_a_list_of_texts(given):
    texts = as_texts(given)
    assert texts == ROWS
    assert {type(text) for text in texts} == {str}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("a dull plot", r"got one string. Put it in brackets: model\(\[text\]\)"),
        (Path("reviews.txt"), "got one string"),
        (FRAME, r"got a table \(DataFrame\). Give one column of it: table\['text'\]"),
        ({"text": "a dull plot"}, r"got a table \(dict\)"),
        (Dataset.from_dict({"text": ROWS}), r"got a table \(Dataset\)"),
        (b"a dull plot", "got bytes"),
        ({"a dull plot"}, "got set"),
        (None, "got NoneType"),
        (3, "got int"),
        (np.array([1.0, 2.0]), "row 0 is a float64, not a string"),
        (np.array([["a"], ["b"]]), "row 0 is a ndarray"),
        (torch.zeros(2), "row 0 is a Tensor"),
        (pd.Series(["a", None]), "row 1 is a (float|NoneType), not a string: (nan|None)"),
        (["a", ["b"]], "row 1 is a list"),
    ],
    ids=lambda given: type(given).__name__,
)
def test_anything_else_is_refused_in_one_line(given, message):
    with pytest.raises(UserError, match=message) as error:
        as_texts(given)
    assert "\n" not in str(error.value)


def test_a_pipeline_asks_first():
    tokenizer = TextTokenizer.train(ROWS)
    model = Classifier(vocab_size=len(tokenizer), num_classes=2, embedding_size=4, hidden_size=4)
    classifier = DocumentClassifier(model, Vocabulary({"text": tokenizer}, ["bad", "good"]))
    assert classifier(FRAME["text"]) == classifier(ROWS)
    assert classifier([]) == []
    with pytest.raises(UserError, match="got a table"):
        classifier(FRAME)
