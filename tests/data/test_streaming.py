"""A stream gives every row to one reader, once an epoch, and every process makes as many steps."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from itertools import zip_longest
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.utils.rnn import unpack_sequence

from lstm_readout.commands.train import main as train
from lstm_readout.data import streaming
from lstm_readout.data.batches import ClassifyBatch, GenerateBatch, TranslateBatch
from lstm_readout.data.module import TextDataModule
from lstm_readout.data.samplers import Position
from lstm_readout.data.streaming import HELD_OUT, StreamedBatches, TrainingRows, blocks
from lstm_readout.data.windows import join_stream
from lstm_readout.errors import UserError
from lstm_readout.tokenizer import TextTokenizer, Vocabulary

WORDS = [f"w{i}" for i in range(40)]
TOKENIZER = TextTokenizer.train([" ".join(WORDS)])


def vocabulary(*roles: str) -> Vocabulary:
    return Vocabulary(dict.fromkeys(roles, TOKENIZER), ["a", "b"])


def documents(count: int) -> list[dict[str, str]]:
    """Return rows that can be told apart: the words are the digits of the row's number."""
    random = np.random.default_rng(count)
    texts = [" ".join([*(f"w{digit}" for digit in str(i)), *["w39"] * random.integers(1, 20)]) for i in range(count)]
    return [{"text": text, "label": "ab"[i % 2]} for i, text in enumerate(texts)]


def number_of(row: torch.Tensor) -> int:
    words = TOKENIZER.decode(row.tolist()).split()
    return int("".join(word[1:] for word in words if word != "w39"))


def streamed(rows: Any, **options: Any) -> StreamedBatches:
    defaults = {
        "roles": {"text": "text", "label": "label"},
        "batch_size": 4,
        "max_tokens": None,
        "pool": 10,
        "buffer": 16,
        "seed": 0,
    }
    return StreamedBatches(rows, vocabulary("text"), ClassifyBatch, **{**defaults, **options})


def read_as(batches: StreamedBatches, rank: int, processes: int, number: int, workers: int) -> list[ClassifyBatch]:
    """Return what one worker of one process makes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming, "ranks", lambda: (rank, processes))
        patch.setattr(streaming, "get_worker_info", lambda: SimpleNamespace(id=number, num_workers=workers))
        return list(batches)


def read_by_all(batches: StreamedBatches, processes: int, workers: int) -> list[list[ClassifyBatch]]:
    """Return the batches of each process in the order its loader gives them: one of each worker in turn."""
    made = []
    for rank in range(processes):
        parts = [read_as(batches, rank, processes, number, workers) for number in range(workers)]
        made.append([batch for turn in zip_longest(*parts) for batch in turn if batch is not None])
    return made


def numbers_in(made: list[list[ClassifyBatch]]) -> list[int]:
    return [number_of(row) for part in made for batch in part for row in unpack_sequence(batch.token_ids)]


@given(st.integers(4, 150), st.integers(1, 4), st.integers(1, 3), st.integers(1, 20), st.integers(1, 6))
def test_no_row_twice_and_none_lost_in_as_many_steps(
    count: int, processes: int, workers: int, buffer: int, size: int
) -> None:
    made = read_by_all(streamed(documents(count), buffer=buffer, batch_size=size), processes, workers)
    assert sorted(numbers_in(made)) == list(range(count))
    assert len({len(part) for part in made}) == 1
    assert all(len(batch.labels) <= size + 1 for part in made for batch in part)
    assert all(label == number_of(row) % 2 for part in made for b in part for row, label in rows_of(b))


def rows_of(batch: ClassifyBatch) -> list[tuple[torch.Tensor, int]]:
    return list(zip(unpack_sequence(batch.token_ids), batch.labels.tolist(), strict=True))


@given(st.integers(1, 120), st.integers(1, 3), st.integers(0, 40))
def test_a_resumed_epoch_gives_exactly_its_rest(count: int, workers: int, done: int) -> None:
    (whole,) = read_by_all(streamed(documents(count)), 1, workers)
    again = streamed(documents(count), resume_at=Position(0, done))
    (rest,) = read_by_all(again, 1, workers)
    assert [b.labels.tolist() for b in rest] == [b.labels.tolist() for b in whole[done:]]
    assert numbers_in([rest]) == numbers_in([whole[done:]])
    again.set_epoch(1)
    assert sorted(numbers_in(read_by_all(again, 1, workers))) == list(range(count))


def test_each_epoch_has_an_order_of_its_own_that_follows_from_the_seed() -> None:
    batches = streamed(documents(100))
    first = numbers_in([list(batches)])
    assert numbers_in([list(batches)]) == first
    batches.set_epoch(1)
    assert numbers_in([list(batches)]) != first
    assert numbers_in([list(streamed(documents(100), seed=1))]) != first


def test_a_budget_of_tokens_is_kept() -> None:
    batches = list(streamed(documents(100), max_tokens=60))
    assert sorted(numbers_in([batches])) == list(range(100))
    assert all(batch.tokens <= 60 for batch in batches)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"window": 8}, "one stream is read by one process. Set trainer.devices=1 and data.num_workers=0"),
        ({"max_tokens": 50}, "several readers would make different numbers of batches. Set data.max_tokens=null"),
    ],
)
def test_what_one_must_read_alone(options: dict[str, Any], told: str) -> None:
    for processes, workers in ((2, 1), (1, 2)):
        with pytest.raises(UserError) as error:
            read_as(streamed(documents(9), **options), 0, processes, 0, workers)
        assert told in str(error.value)


def test_fewer_rows_than_processes_are_refused() -> None:
    with pytest.raises(UserError, match=r"trainer.devices=3: wanted a row for each process, got 2 row\(s\)"):
        read_as(streamed(documents(2)), 0, 3, 0, 1)


@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 5))
def test_blocks_are_the_stream_in_order(count: int, size: int, least: int) -> None:
    size, count = max(size, least), max(count, least)
    rows = [{"text": str(i)} for i in range(count)]
    made = list(blocks(rows, size, least))
    assert [row for block, _ in made for row in block] == rows
    assert all(len(block) >= least for block, _ in made)
    assert all(whole == (len(block) == size) for block, whole in made)


# --- one continuous stream


def test_each_block_is_a_stream_of_its_own() -> None:
    rows = [{"text": f"w{i} w{i + 1}"} for i in range(30)]
    batches = StreamedBatches(
        rows,
        vocabulary("text"),
        GenerateBatch,
        roles={"text": "text"},
        batch_size=2,
        max_tokens=None,
        pool=1,
        buffer=10,
        seed=0,
        window=4,
    )
    made: list[GenerateBatch] = list(batches)
    starts = [i for i, batch in enumerate(made) if not batch.continues]
    assert len(starts) == 3
    for block, (start, end) in enumerate(zip(starts, [*starts[1:], len(made)], strict=True)):
        texts = [row["text"] for row in rows[10 * block : 10 * block + 10]]
        stream = join_stream(TOKENIZER.encode(texts)[0])
        assert Counter(t for b in made[start:end] for t in b.targets.tolist()) == Counter(stream[1:].tolist())


# --- held-out rows


@given(st.floats(0.01, 0.5), st.just(0.0) | st.floats(0.01, 0.4), st.integers(30, 300))
def test_held_out_rows_do_not_train(validation: float, test: float, count: int) -> None:
    rows = documents(count)
    training = TrainingRows(rows, {"validation": validation, "test": test})
    splits = {training.split_of(number) for number in range(count)}
    if splits != {"train", *training.periods}:
        with pytest.raises(UserError, match="split of the stream has no rows"):
            training.begin(fit_rows=10_000)
        return
    begun = training.begin(fit_rows=10_000)
    assert begun["train"].to_list() == list(training)
    everything = [row["text"] for split in begun.values() for row in split.to_list()]
    assert sorted(everything) == sorted(row["text"] for row in rows)


def test_a_long_stream_holds_out_so_many_and_no_more() -> None:
    rows = [{"text": str(i)} for i in range(3 * HELD_OUT)]
    training = TrainingRows(rows, {"validation": 0.5})
    begun = training.begin(fit_rows=7)
    assert begun["train"]["text"][:] == [str(i) for i in range(0, 14, 2)]
    assert begun["validation"]["text"][:] == [str(i) for i in range(1, 2 * HELD_OUT, 2)]
    assert sum(1 for _ in training) == 2 * HELD_OUT
    assert sum(1 for _ in TrainingRows(rows, {"validation": 0.5}, max_rows=11)) == 11


# --- from files, through the data module


def module(roles: dict[str, Any], batch_type: Any, **options: Any) -> TextDataModule:
    return TextDataModule(roles=roles, batch_type=batch_type, name="files", streaming=True, **options)


def write(path: Path, lines: list[str]) -> str:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_table_is_streamed_to_the_classifier(tmp_path: Path, workers: int) -> None:
    rows = documents(101)
    path = write(tmp_path / "a.csv", ["text,label", *(f"{row['text']},{row['label']}" for row in rows)])
    data = module(
        {"text": "text", "label": "label"},
        ClassifyBatch,
        path=path,
        shuffle_buffer=16,
        batch_size=8,
        num_workers=workers,
    )
    data.setup()
    assert data.vocabulary.labels == ["a", "b"]
    decode = data.vocabulary.tokenizers["text"].decode
    loader = data.train_dataloader()
    with pytest.raises(TypeError):
        len(loader)
    orders = []
    for epoch in (0, 1):
        loader.sampler.set_epoch(epoch)  # pyright: ignore[reportAttributeAccessIssue]
        batches = list(loader)
        orders.append([decode(row.tolist()) for batch in batches for row, _ in rows_of(batch)])
        held_out = [row["text"] for split in ("validation", "test") for row in data.texts[split].to_list()]
        assert sorted(orders[-1] + held_out) == sorted(row["text"] for row in rows)
    assert orders[0] != orders[1]


def test_parallel_files_are_streamed_to_the_translator(tmp_path: Path) -> None:
    sides = {
        side: write(tmp_path / f"a.{side}", [f"{side} {row['text']}" for row in documents(50)]) for side in ("de", "en")
    }
    data = module(
        {"source": "text", "target": "text"},
        TranslateBatch,
        files={"train": sides},
        columns={"source": "de", "target": "en"},
        validation=0.2,
        test=0,
        batch_size=8,
    )
    batches = list(data.train_dataloader())
    targets = [text for batch in batches for text in batch.references]
    sources = [
        data.vocabulary.tokenizers["source"].decode(row.tolist())
        for batch in batches
        for row in unpack_sequence(batch.source)
    ]
    assert [source.replace("de", "en", 1) for source in sources] == targets
    assert len(targets) == 40 == len(set(targets) - set(data.texts["validation"]["target"][:]))


def test_given_splits_are_read_whole(tmp_path: Path) -> None:
    for split, count in {"train": 30, "validation": 7, "test": 5}.items():
        write(tmp_path / f"{split}.txt", [f"{split} {i}" for i in range(count)])
    data = module({"text": "text"}, GenerateBatch, path=str(tmp_path), fit_rows=4)
    assert {split: len(rows) for split, rows in data.texts.items()} == {"train": 4, "validation": 7, "test": 5}
    assert data.report["streamed"] == {"train": 4}
    assert sum(len(batch.inputs.sorted_indices) for batch in data.train_dataloader()) == 30


@pytest.mark.parametrize("workers", [0, 1])
def test_a_label_that_the_head_lacks_is_one_clear_error(tmp_path: Path, workers: int) -> None:
    path = write(tmp_path / "a.csv", ["text,label", *(f"x,{'ab'[i % 2]}" for i in range(20)), "x,c"])
    data = module(
        {"text": "text", "label": "label"},
        ClassifyBatch,
        path=path,
        fit_rows=10,
        validation=0,
        test=0,
        shuffle_buffer=5,
    )
    with pytest.raises(UserError) as error:
        list(data.train_dataloader())
    assert str(error.value) == (
        "data: a later part of the training split has 1 label(s) that its head (data.fit_rows) lacks: 'c'. "
        "Known: 'a', 'b'. Add rows with these labels there, or drop them here."
    )


def test_a_sample_is_in_memory_anyway() -> None:
    data = TextDataModule(roles={"text": "text"}, batch_type=GenerateBatch, name="sample", streaming=True)
    with pytest.raises(UserError, match="data=sample is generated in memory"):
        data.setup()


PROGRAM = """
import json, sys
import torch
from torch.distributed import destroy_process_group, init_process_group
from lstm_readout.data.batches import GenerateBatch
from lstm_readout.data.module import TextDataModule
from torch.nn.utils.rnn import unpack_sequence

if __name__ == "__main__":
    rank, store, path = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    data = TextDataModule(roles={"text": "text"}, batch_type=GenerateBatch, name="files", path=path, streaming=True,
                          validation=0, test=0, batch_size=4, shuffle_buffer=16, num_workers=2)
    decode = data.vocabulary.tokenizers["text"].decode
    batches = [
        [decode(row.tolist()) for row in unpack_sequence(batch.inputs._replace(data=batch.targets))]
        for batch in data.train_dataloader()
    ]
    print(json.dumps(batches))
    destroy_process_group()
"""


def test_two_processes_of_two_workers_share_a_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", [f"row {i}" for i in range(147)])
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    running = [
        subprocess.Popen(
            [sys.executable, program, str(rank), tmp_path / "store", path], stdout=subprocess.PIPE, text=True
        )
        for rank in range(2)
    ]
    told = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    parts = [json.loads(text) for text in told]
    assert len(parts[0]) == len(parts[1])
    everything = [row for part in parts for batch in part for row in batch]
    assert sorted(everything) == sorted(f"row {i}" for i in range(147))


def test_a_stopped_run_goes_on_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "a.csv", ["text,label", *(f"{row['text']},{row['label']}" for row in documents(120))])
    run = ["task=classify", "data=files", f"data.path={path}", "data.streaming=true", "data.shuffle_buffer=16"]
    run += ["data.batch_size=4", "data.num_workers=2", "scheduler=constant", "trainer.max_epochs=2"]
    run += ["model.hidden_size=4", "model.embedding_size=4", "model.word_dropout=0.3"]
    train([*run, "hydra.run.dir=whole"])
    killer = f"+callbacks.killer={{_target_: lstm_readout_test_tools.SendSignal, step: 31, number: {signal.SIGINT:d}}}"
    with pytest.raises(SystemExit, match="130"):
        train([*run, killer, "hydra.run.dir=stopped"])
    train(["resume=stopped", "callbacks.killer=null"])
    whole, resumed = (
        torch.load(f"{folder}/checkpoints/last.ckpt", weights_only=True) for folder in ("whole", "stopped")
    )
    assert resumed["global_step"] == whole["global_step"] == 50  # the first row of each label is not held out
    assert all(torch.equal(resumed["state_dict"][name], whole["state_dict"][name]) for name in whole["state_dict"])
