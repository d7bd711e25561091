"""Tables in and out of ``lstm-readout predict``: one result for each row, in order, always."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import pandas as pd
import pytest
import torch

from lstm_readout import DocumentClassifier, TextGenerator
from lstm_readout.commands.predict import main
from lstm_readout.models import Classifier, LanguageModel
from lstm_readout.models.checkpoint import hyper_parameters
from lstm_readout.tokenizer import TextTokenizer, Vocabulary

TEXTS = ['a "great" film, really', "", "two\nlines", "a film"]
WORDS = TextTokenizer.train([*TEXTS, "great bad film two lines really"])
BYTES = TextTokenizer.train(["a\nb\n"], kind="byte")
CLASSIFY, GENERATE = "checkpoint=classify.ckpt", "checkpoint=generate.ckpt"


@pytest.fixture(autouse=True)
def _checkpoints(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    classifier = Classifier(vocab_size=len(WORDS), num_classes=2, embedding_size=4, hidden_size=6)
    generator = LanguageModel(vocab_size=len(BYTES), embedding_size=4, hidden_size=6)
    save("classify", classifier, Vocabulary({"text": WORDS}, ["bad", "good"]))
    save("generate", generator, Vocabulary({"text": BYTES}, []))


def save(task, model, vocabulary):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
        if task == "generate":  # it writes line breaks
            model.head.weight.zero_()
            model.head.bias[vocabulary.tokenizers["text"].tokens.index("\n")] = 9.0
    config = {"data": {"columns": {"text": "review"}}}
    weights = {f"model.{name}": value for name, value in model.state_dict().items()}
    saved = hyper_parameters(task, model.arguments, vocabulary, config)
    torch.save({"state_dict": weights, "hyper_parameters": saved}, f"{task}.ckpt")


def labels(texts):
    return [result.label for result in DocumentClassifier.load("classify.ckpt")(texts)]


def table() -> pd.DataFrame:
    return pd.DataFrame({"id": [7, 8, 9, 10], "review": TEXTS, "label": ["x", "y", "x", "y"]})


def write(name: str) -> None:
    text = {
        ".csv": lambda: table().to_csv(index=False),
        ".tsv": lambda: table().to_csv(index=False, sep="\t"),
        ".jsonl": lambda: table().to_json(orient="records", lines=True),
        ".json": lambda: table().to_json(orient="records"),
    }
    if name.endswith(".gz"):
        Path(name).write_bytes(gzip.compress(table().to_csv(index=False).encode()))
    elif name.endswith(".parquet"):
        table().to_parquet(name)
    else:
        Path(name).write_text(text[Path(name).suffix]())


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl", "t.json", "t.parquet", "t.csv.gz"])
def test_a_table_is_read_as_one_and_keeps_its_columns(name):
    write(name)
    main([CLASSIFY, f"input={name}", "output=out.jsonl"])
    rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [row["review"] for row in rows] == TEXTS, "the column of the run is the one that is read"
    assert [int(row["id"]) for row in rows] == [7, 8, 9, 10]
    assert [row["label"] for row in rows] == ["x", "y", "x", "y"]
    assert [row["predicted_label"] for row in rows] == labels(TEXTS), "its own name was taken"
    assert [max(row["probabilities"], key=row["probabilities"].get) for row in rows] == labels(TEXTS)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "json", "parquet"])
def test_a_table_is_written_in_the_format_of_its_name(suffix):
    write("t.csv")
    main([CLASSIFY, "input=t.csv", f"output=out.{suffix}"])
    if suffix == "parquet":
        rows = pd.read_parquet("out.parquet").to_dict("records")
    elif suffix == "json":
        rows = json.loads(Path("out.json").read_text())
    else:
        delimiter = "," if suffix == "csv" else "\t"
        rows = list(csv.DictReader(io.StringIO(Path(f"out.{suffix}").read_text(), newline=""), delimiter=delimiter))
    assert [row["review"] for row in rows] == TEXTS
    assert [row["predicted_label"] for row in rows] == labels(TEXTS)


def test_another_column_can_be_named(capsys):
    write("t.csv")
    main([CLASSIFY, "input=t.csv", "data.columns.text=label"])
    assert [json.loads(line)["label"] for line in capsys.readouterr().out.splitlines()] == labels(["x", "y", "x", "y"])
    with pytest.raises(SystemExit) as stop:
        main([CLASSIFY, "input=t.csv", "data.columns.text=nope"])
    assert stop.value.code == 2
    assert "data.columns.text: 't.csv' has no column 'nope'; it has: id, review, label" in capsys.readouterr().err


@pytest.mark.parametrize("output", [[], ["output=out.txt"]])
def test_a_line_comes_out_for_each_line_that_went_in(output, capsys):
    Path("in.txt").write_text("a\n\nb\r\n \n")
    prompts = ["a", "", "b", " "]
    main([GENERATE, "input=in.txt", "max_tokens=12", "temperature=0", *output])
    told = capsys.readouterr().out if not output else Path("out.txt").read_text()
    continued = TextGenerator.load("generate.ckpt", max_tokens=12, temperature=0)(prompts)
    assert any("\n" in text for text in continued), "the model writes line breaks"
    assert told.split("\n") == [
        *((prompt + text).replace("\n", "\\n") for prompt, text in zip(prompts, continued, strict=True)),
        "",
    ]


def test_a_generated_line_break_stays_in_a_table():
    main([GENERATE, "text=a", "max_tokens=12", "temperature=0", "output=out.jsonl"])
    (row,) = map(json.loads, Path("out.jsonl").read_text().splitlines())
    assert row == {"text": "a", "continuation": "\n" * 12}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["output=there.csv"], "output: 'there.csv' already exists"),
        (["output=/dev/full"], "is a device or a pipe"),
        (["output=out.xlsx"], "output: cannot write .xlsx. Name a file that ends in"),
        (["input=empty.csv"], "'empty.csv'"),
    ],
)
def test_a_mistake_is_refused_before_the_work(overrides, message, capsys):
    Path("there.csv").write_text("old")
    Path("empty.csv").write_text("")
    text = [] if "input" in overrides[0] else ["text=a"]
    with pytest.raises(SystemExit) as stop:
        main(["checkpoint=nowhere.ckpt" if text else CLASSIFY, "pipeline=classify", *text, *overrides])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert Path("there.csv").read_text() == "old"


def test_an_existing_file_is_replaced_if_asked():
    Path("there.csv").write_text("old")
    main([CLASSIFY, "text=a film", "output=there.csv", "overwrite=true"])
    assert Path("there.csv").read_text().startswith("text,label,probabilities\na film,")
