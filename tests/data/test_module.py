"""One data module reads every corpus for every task: splits, vocabulary, encoding, batches."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch.nn.utils.rnn import unpack_sequence

from lstm_readout.data.batches import ClassifyBatch, GenerateBatch, TranslateBatch
from lstm_readout.data.module import TextDataModule
from lstm_readout.data.synthetic import sample
from lstm_readout.data.windows import join_stream
from lstm_readout.errors import UserError
from lstm_readout.tokenizer import BOS, EOS, UNK, TextTokenizer
from lstm_readout.tokenizer.ragged import Ragged

CONFIGS = Path(__file__).parents[2] / "configs" / "data"
TASKS: dict[str, Any] = {
    "classify": ({"text": "text", "label": "label"}, ClassifyBatch),
    "generate": ({"text": "text"}, GenerateBatch),
    "translate": ({"source": "text", "target": "text"}, TranslateBatch),
}


def corpus(task: str, tokenizer: dict[str, Any] | None = None, **options: Any) -> TextDataModule:
    roles, batch_type = TASKS[task]
    options.setdefault("name", "files")
    trainer = partial(TextTokenizer.train, **(tokenizer or {}))
    return TextDataModule(roles=roles, batch_type=batch_type, tokenizer=trainer, **options)


def configured(task: str, name: str, tokenizer: dict[str, Any] | None = None, **options: Any) -> TextDataModule:
    """Return the module that ``data=name`` describes."""
    merged = OmegaConf.merge(OmegaConf.load(CONFIGS / "base.yaml"), OmegaConf.load(CONFIGS / f"{name}.yaml"), options)
    values: Any = OmegaConf.to_container(merged)
    for key in ("defaults", "_target_"):
        values.pop(key)
    return corpus(task, tokenizer, **values)


@pytest.fixture
def real() -> None:
    if not os.environ.get("LSTM_READOUT_DATA"):
        pytest.skip("LSTM_READOUT_DATA is not set")


def lines(path: Path, *texts: str) -> str:
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return str(path)


def table(path: Path, count: int, labels: str = "ab") -> str:
    return lines(path, "text,label", *(f"w{i} x{i % 3},{labels[i % len(labels)]}" for i in range(count)))


def rows_of(batch: Any) -> list[tuple]:
    """Return the rows of a batch as plain ids, labels and texts."""
    if isinstance(batch, ClassifyBatch):
        parts = [unpack_sequence(batch.token_ids), batch.labels.tolist()]
    elif isinstance(batch, GenerateBatch):
        parts = [unpack_sequence(batch.inputs), unpack_sequence(batch.inputs._replace(data=batch.targets))]
    else:
        targets = unpack_sequence(batch.target_inputs._replace(data=batch.targets))
        parts = [unpack_sequence(batch.source), unpack_sequence(batch.target_inputs), targets, batch.references]
    plain = [[one.tolist() if isinstance(one, torch.Tensor) else one for one in part] for part in parts]
    return [tuple(tuple(one) if isinstance(one, list) else one for one in row) for row in zip(*plain, strict=True)]


def rows_by_hand(data: TextDataModule, split: str) -> list[tuple]:
    """Return the same rows straight from the texts, one by one."""
    made = []
    for row in data.texts[split]:
        assert isinstance(row, dict)
        ids = {}
        for role, tokenizer in data.vocabulary.tokenizers.items():
            column, _ = tokenizer.encode([row[role]])
            ids[role] = tuple(column.row(0).tolist())
        if data.batch_type is ClassifyBatch:
            made.append((ids["text"], data.vocabulary.labels.index(row["label"])))
        elif data.batch_type is GenerateBatch:
            made.append(((BOS, *ids["text"][:-1]), ids["text"]))
        else:
            made.append((ids["source"], (BOS, *ids["target"][:-1]), ids["target"], row["target"]))
    return made


def assert_serves_every_row_once(data: TextDataModule) -> None:
    data.setup()
    loaders = {"train": data.train_dataloader, "validation": data.val_dataloader, "test": data.test_dataloader}
    for split in data.columns:
        batches = list(loaders[split]())
        assert all(type(batch) is data.batch_type for batch in batches)
        assert Counter(row for batch in batches for row in rows_of(batch)) == Counter(rows_by_hand(data, split))


# --- the sample


@pytest.mark.parametrize("max_tokens", [None, 300])
@pytest.mark.parametrize("task", TASKS)
def test_the_sample_is_served_row_by_row_for_every_task(task: str, max_tokens: int | None) -> None:
    data = configured(task, "sample", max_rows=150, batch_size=16, max_tokens=max_tokens)
    assert_serves_every_row_once(data)
    assert list(data.columns) == ["train", "validation", "test"]
    assert data.ceiling == sample(list(TASKS[task][0])).ceiling


def test_the_sample_follows_from_the_seed() -> None:
    texts = [configured("generate", "sample", seed=seed).texts["train"]["text"][:] for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]


# --- files of one's own


def test_a_single_file_gives_three_splits(tmp_path: Path) -> None:
    data = corpus("classify", path=table(tmp_path / "a.csv", 100))
    assert_serves_every_row_once(data)
    assert {split: len(rows) for split, rows in data.texts.items()} == {"train": 81, "validation": 10, "test": 9}
    assert list(data.columns) == ["train", "validation", "test"]


@pytest.mark.parametrize("holdout", ["random", "last"])
def test_held_out_rows_and_the_rest_are_the_whole(tmp_path: Path, holdout: Any) -> None:
    path = lines(tmp_path / "a.txt", *(f"line {i}" for i in range(50)))
    texts = corpus("generate", path=path, holdout=holdout, validation=0.2, test=0.1).texts
    parts = {split: rows["text"][:] for split, rows in texts.items()}
    assert {split: len(part) for split, part in parts.items()} == {"train": 36, "validation": 10, "test": 4}
    whole = [f"line {i}" for i in range(50)]
    assert sorted(chain.from_iterable(parts.values())) == sorted(whole)
    in_order = parts["train"] + parts["test"] + parts["validation"]
    assert (in_order == whole) == (holdout == "last")
    for part in parts.values():
        assert part == sorted(part, key=whole.index)


def test_held_out_rows_follow_from_the_seed(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.txt", *(f"line {i}" for i in range(50)))
    held_out = [corpus("generate", path=path, seed=seed).texts["validation"]["text"][:] for seed in (1, 1, 2)]
    assert held_out[0] == held_out[1] != held_out[2]


PROGRAM = """
import sys, zlib
from functools import partial
from lstm_readout.data.batches import GenerateBatch
from lstm_readout.tokenizer import TextTokenizer
from lstm_readout.data.module import TextDataModule

def summary(path, kind):
    arguments = {"name": "files", "path": path, "batch_size": 8, "seed": 5}
    tokenizer = {"kind": kind, "vocab_size": 300}
    trainer = partial(TextTokenizer.train, **tokenizer)
    data = TextDataModule(roles={"text": "text"}, batch_type=GenerateBatch, tokenizer=trainer, **arguments)
    held_out = {split: rows["text"][:] for split, rows in data.texts.items()}
    batches = [batch.inputs.data.tolist() for batch in data.train_dataloader()]
    return zlib.crc32(repr((held_out, data.vocabulary.to_dict(), batches)).encode())

if __name__ == "__main__":
    print(*(summary(sys.argv[1], kind) for kind in ("word", "char", "bpe")))
"""


def test_another_process_has_the_same_splits_vocabulary_and_batches(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.txt", *(f"line {i} {'w ' * (i % 9)}" for i in range(200)))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, path], capture_output=True, text=True, check=True, env=environment
    )
    names: dict[str, Any] = {"__name__": "here"}
    exec(PROGRAM, names)
    assert list(map(int, done.stdout.split())) == [names["summary"](path, kind) for kind in ("word", "char", "bpe")]


def test_one_document_is_split_by_characters_and_nothing_is_lost(tmp_path: Path) -> None:
    text = "".join(chr(97 + i % 26) for i in range(1000)) + "\n"
    (tmp_path / "a.txt").write_text(text)
    texts = corpus("generate", path=str(tmp_path / "a.txt"), whole=True).texts
    parts = [texts[split]["text"][0] for split in ("train", "test", "validation")]
    assert "".join(parts) == text
    assert list(map(len, parts)) == [811, 90, 100]


def test_a_split_that_is_there_is_not_held_out(tmp_path: Path) -> None:
    table(tmp_path / "train.csv", 40)
    table(tmp_path / "test.csv", 7)
    data = corpus("classify", path=str(tmp_path))
    assert [(split, len(rows)) for split, rows in data.texts.items()] == [("train", 36), ("validation", 4), ("test", 7)]


def test_without_validation_there_is_none(tmp_path: Path) -> None:
    data = corpus("classify", path=table(tmp_path / "a.csv", 40), validation=0, test=0.0)
    assert_serves_every_row_once(data)
    assert list(data.columns) == ["train"]
    assert data.val_dataloader() == data.test_dataloader() == []


def test_only_the_first_rows_are_used_if_asked(tmp_path: Path) -> None:
    table(tmp_path / "train.csv", 40)
    table(tmp_path / "test.csv", 5)
    data = corpus("classify", path=str(tmp_path), validation=0, max_rows=8)
    assert data.texts["train"]["text"][:] == [f"w{i} x{i % 3}" for i in range(8)]
    assert len(data.texts["test"]) == 5


def test_columns_of_any_name_serve_as_roles(tmp_path: Path) -> None:
    lines(tmp_path / "a.tsv", "id\tfrom\tto", *(f"{i}\tein {i}\tone {i}" for i in range(30)))
    data = corpus("translate", path=str(tmp_path / "a.tsv"), columns={"source": "to", "target": "from", "text": "no"})
    assert_serves_every_row_once(data)
    assert set(data.texts["train"].column_names) == {"source", "target"}
    assert data.texts["train"]["source"][0].startswith("one")


def test_one_row_is_enough_to_train_and_test_on(tmp_path: Path) -> None:
    lines(tmp_path / "train.csv", "source,target", "a b,c d")
    lines(tmp_path / "test.csv", "source,target", "a,c")
    assert_serves_every_row_once(corpus("translate", path=str(tmp_path), validation=0))


# --- vocabulary


@pytest.mark.parametrize("tokenizer", [{"kind": "word"}, {"kind": "char", "byte_fallback": False}])
def test_the_vocabulary_is_learned_from_the_training_split_alone(tmp_path: Path, tokenizer: dict[str, Any]) -> None:
    lines(tmp_path / "train.txt", "a b", "b c")
    lines(tmp_path / "test.txt", "a z", "z")
    data = corpus("generate", tokenizer, path=str(tmp_path), validation=0)
    test = data.columns["test"]["text"]
    assert isinstance(test, Ragged)
    assert test.row(1).tolist() == [UNK, EOS]
    assert UNK not in data.columns["train"]["text"].values  # pyright: ignore[reportAttributeAccessIssue]


def test_source_and_target_have_vocabularies_of_their_own(tmp_path: Path) -> None:
    lines(tmp_path / "train.csv", "source,target", "ein hund,a dog")
    data = corpus("translate", path=str(tmp_path), validation=0, test=0)
    assert data.vocabulary.tokenizers["source"].decode([3, 4]) == "ein hund"
    assert data.vocabulary.tokenizers["target"].decode([3, 4]) == "a dog"
    assert data.vocabulary.labels == []


def test_labels_are_in_alphabetical_order(tmp_path: Path) -> None:
    data = corpus("classify", path=table(tmp_path / "a.csv", 90, labels="zab"))
    assert data.vocabulary.labels == ["a", "b", "z"]


@pytest.fixture
def trained(tmp_path: Path) -> TextDataModule:
    return corpus("classify", path=table(tmp_path / "old.csv", 60))


def test_with_a_vocabulary_a_lone_file_is_the_test_split(trained: TextDataModule, tmp_path: Path) -> None:
    path = lines(tmp_path / "new.csv", "text,label", "w1 unseen,b")
    data = corpus("classify", path=path, vocabulary=trained.vocabulary)
    assert_serves_every_row_once(data)
    assert list(data.columns) == ["test"]
    assert data.val_dataloader() == []
    assert data.vocabulary is trained.vocabulary
    assert data.columns["test"]["label"].tolist() == [1]  # pyright: ignore[reportAttributeAccessIssue]


def test_with_a_vocabulary_no_training_split_is_needed(trained: TextDataModule, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    path = table(tmp_path / "new" / "test.csv", 5)
    for options in ({"path": str(tmp_path / "new")}, {"files": {"test": path}}, {"files": {"validation": path}}):
        data = corpus("classify", vocabulary=trained.vocabulary, **options)
        assert_serves_every_row_once(data)
        assert [len(rows) for rows in data.texts.values()] == [5]


def test_the_corpus_that_the_vocabulary_was_learned_from_is_held_out_again(
    trained: TextDataModule, tmp_path: Path
) -> None:
    again = corpus("classify", path=str(tmp_path / "old.csv"), vocabulary=trained.vocabulary, seen=True)
    assert {split: rows.to_dict() for split, rows in again.texts.items()} == {
        split: rows.to_dict() for split, rows in trained.texts.items()
    }


def test_with_a_vocabulary_other_labels_are_told(trained: TextDataModule, tmp_path: Path) -> None:
    path = table(tmp_path / "new.csv", 4, labels="ac")
    with pytest.raises(UserError, match=r"the test split has 1 label\(s\).*'c'.*Known: 'a', 'b'"):
        corpus("classify", path=path, vocabulary=trained.vocabulary).setup()


# --- order and resuming


@pytest.mark.parametrize("options", [{}, {"max_tokens": 40}, {"carry_state": True, "window": 5}])
def test_a_resumed_epoch_serves_exactly_its_rest(tmp_path: Path, options: dict[str, Any]) -> None:
    path = lines(tmp_path / "a.txt", *(f"line {i} {'w ' * (i % 9)}" for i in range(100)))

    def batches(position: dict[str, int] | None) -> list[list[int]]:
        data = corpus("generate", path=path, batch_size=4, **options)
        if position:
            data.load_state_dict(position)
        loader = data.train_dataloader()
        ordered = loader.sampler if data.carry_state else loader.batch_sampler
        ordered.set_epoch(2)  # pyright: ignore[reportAttributeAccessIssue, reportOptionalMemberAccess]
        return [batch.inputs.data.tolist() for batch in loader]

    whole = batches(None)
    assert len(whole) > 7
    assert batches({"epoch": 2, "batches": 7}) == whole[7:]
    assert batches({"epoch": 1, "batches": 7}) == whole


def test_loading_draws_nothing_from_the_run_s_chance(tmp_path: Path) -> None:
    data = corpus("classify", path=table(tmp_path / "a.csv", 40))
    data.setup()
    before = torch.get_rng_state()
    list(data.train_dataloader())
    assert torch.equal(torch.get_rng_state(), before)


def test_workers_serve_the_same_batches(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", 40)
    alone, helped = (
        [rows_of(batch) for batch in corpus("classify", path=path, num_workers=number).train_dataloader()]
        for number in (0, 1)
    )
    assert alone == helped


# --- a stream


def test_a_stream_is_all_rows_with_ends_between_them(tmp_path: Path) -> None:
    lines(tmp_path / "train.txt", "a b", "c", "", "d")
    data = corpus("generate", path=str(tmp_path), validation=0, test=0, carry_state=True, batch_size=2, window=3)
    tokenizer = data.vocabulary.tokenizers["text"]
    stream = join_stream(data.columns["train"]["text"])
    assert tokenizer.decode(stream[1:3]).split() == ["a", "b"]
    assert stream.tolist() == [BOS, 3, 4, EOS, 5, EOS, EOS, 6]
    batches = list(data.train_dataloader())
    columns = [unpack_sequence(batch.inputs._replace(data=batch.targets)) for batch in batches]
    assert [column.tolist() for column in columns[0]] == [[3, 4, EOS], [EOS, EOS, 6]]
    assert [column.tolist() for column in columns[1]] == [[5]]
    assert [batch.continues for batch in batches] == [False, True]


def test_a_stream_without_a_token_is_told(tmp_path: Path) -> None:
    lines(tmp_path / "train.txt", "a b")
    lines(tmp_path / "test.txt", "")
    data = corpus("generate", path=str(tmp_path), validation=0, carry_state=True)
    with pytest.raises(UserError, match=r"the test split of files has no token to predict\. Give it more text"):
        data.test_dataloader()


# --- what is told


def test_source_and_target_share_a_tokenizer_where_asked(tmp_path: Path) -> None:
    sides = {"source": lines(tmp_path / "a", "one two", "two"), "target": lines(tmp_path / "b", "eins", "two eins")}
    options: dict[str, Any] = {"files": {"train": sides}, "validation": 0, "test": 0}
    apart = corpus("translate", **options).vocabulary.tokenizers
    joint = corpus("translate", joint_tokenizer=True, **options).vocabulary.tokenizers
    assert [len(tokenizer) for tokenizer in apart.values()] == [5, 5]
    assert [tokenizer.to_dict() for tokenizer in joint.values()] == [joint["source"].to_dict()] * 2
    assert len(joint["source"]) == 6
    assert joint["target"].decode(joint["source"].encode(["two eins one"])[0].row(0)) == "two eins one"


def test_a_column_of_many_values_is_taken_for_text_unless_allowed(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.csv", "text,label", *(f"x,{i // 2}" for i in range(60)))
    options: dict[str, Any] = {"path": path, "holdout": "last", "validation": 0, "test": 0}
    with pytest.raises(UserError, match=r"30 different labels in 60 training rows; is that column text\?") as error:
        corpus("classify", max_labels=29, **options).setup()
    assert "data.columns.label=NAME, or allow this many: data.max_labels=30" in str(error.value)
    assert len(corpus("classify", max_labels=30, **options).vocabulary.labels) == 30


def test_segmentations_are_drawn_anew_for_training_alone(tmp_path: Path) -> None:
    texts = ["the cat sat on the mat", "the cat that sat", "on that mat the cat sat"] * 20
    path = lines(tmp_path / "a.csv", "text,label", *(f"{text},{'ab'[i % 2]}" for i, text in enumerate(texts)))
    dropping = {"kind": "bpe", "vocab_size": 300, "dropout": 0.5}
    data = corpus("classify", dropping, path=path, batch_size=4)
    decode = data.vocabulary.tokenizers["text"].decode
    loader = data.train_dataloader()
    epochs = [[row for batch in loader for row in rows_of(batch)] for _ in range(2)]
    assert Counter(ids for ids, _ in epochs[0]) != Counter(ids for ids, _ in epochs[1])
    wanted = Counter((row["text"], row["label"]) for row in data.texts["train"].to_list())
    for epoch in epochs:
        assert Counter((decode(ids), "ab"[label]) for ids, label in epoch) == wanted
    held_out = [[row for batch in data.val_dataloader() for row in rows_of(batch)] for _ in range(2)]
    assert held_out[0] == held_out[1]
    with pytest.raises(UserError, match=r"tokenizer\.dropout with data\.carry_state=true"):
        corpus(
            "generate", {"kind": "bpe", "vocab_size": 300, "dropout": 0.5}, path=path, carry_state=True
        ).train_dataloader()


def test_what_was_cut_and_what_is_empty_stands_in_the_report(tmp_path: Path) -> None:
    lines(tmp_path / "train.csv", "text,label", "a b c,x", "a,y", '"",y')
    lines(tmp_path / "test.csv", "text,label", "a z,x")
    data = corpus("classify", {"max_length": 2, "keep": "end"}, path=str(tmp_path), validation=0)
    told = {split: part["roles"]["text"] for split, part in data.report["splits"].items()}
    assert {split: part["truncated"] for split, part in told.items()} == {"train": 1, "test": 0}
    assert {split: part["empty"] for split, part in told.items()} == {"train": 1, "test": 0}
    assert {split: part["unknown_rate"] for split, part in told.items()} == {"train": 0, "test": 0.5}
    assert data.report["batches"] == {"number": 1, "fill": pytest.approx(6 / 9)}  # 3 + 2 + 1 ids in 3 rows of 3


def test_a_null_text_is_an_empty_text_and_counted(tmp_path: Path) -> None:
    lines(tmp_path / "a.jsonl", '{"text": null}', '{"text": "a"}', "{}")
    data = corpus("generate", path=str(tmp_path / "a.jsonl"), validation=0, test=0)
    assert_serves_every_row_once(data)
    assert data.report["splits"]["train"]["roles"]["text"]["empty"] == 2


# --- real text


@pytest.mark.usefixtures("real")
@pytest.mark.parametrize(
    ("task", "name", "splits", "options"),
    [
        ("classify", "imdb", {"train": 22_500, "validation": 2500, "test": 25_000}, {}),
        ("generate", "imdb", {"train": 22_500, "validation": 2500, "test": 25_000}, {}),
        ("classify", "trec", {"train": 4907, "validation": 545, "test": 500}, {}),
        ("generate", "trec", {"train": 4907, "validation": 545, "test": 500}, {}),
        ("translate", "multi30k", {"train": 29_000, "validation": 1014, "test": 1000}, {}),
        (
            "translate",
            "multi30k",
            {"train": 29_000, "validation": 1014, "test": 1000},
            {"columns": {"source": "en", "target": "de"}},
        ),
        (
            "translate",
            "multi30k",
            {"train": 29_000, "validation": 1014, "test": 1000},
            {"columns": {"source": "fr", "target": "en"}},
        ),
        ("generate", "multi30k", {"train": 29_000, "validation": 1014, "test": 1000}, {}),
    ],
)
def test_a_real_corpus_is_served_as_its_description_says(
    task: str, name: str, splits: dict[str, int], options: dict[str, Any]
) -> None:
    data = configured(task, name, max_rows=60, batch_size=8, **options)
    whole, _ = replace(data.corpus, max_rows=None).read()
    assert {split: len(rows) for split, rows in whole.items()} == splits
    assert_serves_every_row_once(data)
    assert {len(rows) for rows in data.texts.values()} == {60}


@pytest.mark.usefixtures("real")
def test_real_labels_are_those_that_are_published() -> None:
    assert configured("classify", "imdb", max_rows=300).vocabulary.labels == ["neg", "pos"]
    trec = configured("classify", "trec")
    trec.setup()
    assert trec.vocabulary.labels == ["ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM"]


@pytest.mark.usefixtures("real")
def test_real_translations_stay_in_step() -> None:
    data = configured("translate", "multi30k", max_rows=1)
    assert data.texts["train"][0] == {
        "source": "Zwei junge weiße Männer sind im Freien in der Nähe vieler Büsche.",
        "target": "Two young, White males are outside near many bushes.",
    }


@pytest.mark.usefixtures("real")
def test_every_character_of_the_real_stream_is_predicted_once() -> None:
    data = configured("generate", "tinyshakespeare", {"kind": "char"})
    text = (Path(os.environ["LSTM_READOUT_DATA"]) / "tinyshakespeare" / "input.txt").read_text()
    assert data.texts["train"]["text"][0] + data.texts["validation"]["text"][0] == text
    assert len(data.texts["train"]["text"][0]) == 1_003_855
    assert list(data.columns) == ["train", "validation"]
    tokenizer = data.vocabulary.tokenizers["text"]
    columns: list[list[np.ndarray]] = [[] for _ in range(data.batching.batch_size)]
    for batch in data.train_dataloader():
        targets = unpack_sequence(batch.inputs._replace(data=batch.targets))
        for column, part in zip(columns, targets, strict=False):
            column.append(part.numpy())
    predicted = np.concatenate([part for column in columns for part in column])
    assert tokenizer.decode(predicted) == data.texts["train"]["text"][0]
    counted = Counter(chain.from_iterable(batch.targets.tolist() for batch in data.val_dataloader()))
    assert counted == Counter(join_stream(data.columns["validation"]["text"])[1:].tolist())
