"""Every row exactly once an epoch, in an order that follows from the seed; every token of a stream exactly once."""

from __future__ import annotations

import os
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch.nn.utils.rnn import unpack_sequence

from lstm_readout.data import samplers as batching
from lstm_readout.data.batches import GenerateBatch, RowDataset
from lstm_readout.data.samplers import EpochSampler, LengthBatchSampler, Position
from lstm_readout.data.sources import read_files
from lstm_readout.data.windows import StreamDataset, StreamSampler, evaluation_stream
from lstm_readout.errors import UserError
from lstm_readout.tokenizer.ragged import Ragged

lengths_of_rows = st.lists(st.integers(1, 60), min_size=1, max_size=300).map(np.array)
sizes = st.integers(1, 40)
budgets = st.none() | st.integers(1, 300)


def sampler(lengths: np.ndarray, *, epoch: int = 0, shuffle: bool = True, **options) -> LengthBatchSampler:
    options = {"batch_size": 8, **options}
    made = LengthBatchSampler(lengths, shuffle=shuffle, **options)
    made.set_epoch(epoch)
    return made


def many_lengths(rows: int = 3000, roles: int = 1) -> np.ndarray:
    return np.random.default_rng(0).geometric(0.05, (rows, roles))


def fill(lengths: np.ndarray, batches: list[list[int]]) -> float:
    """Return the share of real steps, if each batch were padded to its longest row."""
    return lengths.sum() / sum(len(rows) * lengths[rows].max(0).sum() for rows in batches)


# --- rows


@given(lengths_of_rows, sizes, budgets, st.booleans(), st.integers(0, 3))
def test_every_row_comes_once_an_epoch(
    lengths: np.ndarray, size: int, budget: int | None, shuffle: bool, epoch: int
) -> None:
    made = sampler(lengths, batch_size=size, max_tokens=budget, shuffle=shuffle, epoch=epoch)
    batches = list(made)
    assert sorted(row for rows in batches for row in rows) == list(range(len(lengths)))
    assert len(made) == len(batches)
    assert all(batches)


@given(lengths_of_rows, sizes)
def test_batches_by_rows_are_full_but_for_the_last_of_each_pool(lengths: np.ndarray, size: int) -> None:
    batches = list(sampler(lengths, batch_size=size))
    assert max(map(len, batches)) <= size
    pools = -(-len(lengths) // (batching.POOL * size))
    assert sum(len(rows) < size for rows in batches) <= pools


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=200).map(np.array), sizes)
@example(np.array([[100, 100], [1, 1]]), 1)
def test_a_budget_of_tokens_is_kept_unless_one_row_exceeds_it(lengths: np.ndarray, budget: int) -> None:
    budget *= 5
    for rows in sampler(lengths, max_tokens=budget):
        assert lengths[rows].sum() <= budget or len(rows) == 1


def test_a_budget_of_tokens_is_used() -> None:
    lengths = many_lengths()
    batches = list(sampler(lengths, batch_size=64, max_tokens=2000))
    assert len(batches) <= 1.1 * lengths.sum() / 2000


@pytest.mark.parametrize("budget", [None, 500])
def test_each_epoch_has_an_order_of_its_own_that_follows_from_the_seed(budget: int | None) -> None:
    lengths = many_lengths()
    options: dict[str, Any] = {"max_tokens": budget, "pool": 100}  # with all rows in one pool the longest stay together
    first, second = (list(sampler(lengths, **options, seed=3, epoch=epoch)) for epoch in (0, 1))
    assert first != second
    # Other batches, not the same ones in another order
    assert not {frozenset(rows) for rows in first if len(rows) > 2} & {
        frozenset(rows) for rows in second if len(rows) > 2
    }
    again = sampler(lengths, **options, seed=3)
    for epoch, wanted in ((0, first), (1, second), (0, first)):
        again.set_epoch(epoch)
        assert list(again) == wanted
    assert list(sampler(lengths, **options, seed=4)) != first


def test_unshuffled_batches_go_from_short_to_long_in_every_epoch() -> None:
    lengths = many_lengths()
    made = sampler(lengths, shuffle=False)
    first = list(made)
    order = [int(lengths[row, 0]) for rows in first for row in rows]
    assert order == sorted(order)
    made.set_epoch(1)
    assert list(made) == first


def test_batches_hold_rows_of_similar_length() -> None:
    lengths = many_lengths(20_000)
    assert fill(lengths, list(sampler(lengths, batch_size=64))) > 0.93
    at_random = np.random.default_rng(0).permutation(20_000).reshape(-1, 32).tolist()
    assert fill(lengths, at_random) < 0.4


@pytest.mark.parametrize(
    ("folder", "file", "columns", "longest"),
    [
        ("multi30k", {"de": "train.de.gz"}, ["de"], None),
        ("multi30k", {"de": "train.de.gz", "en": "train.en.gz"}, ["de", "en"], None),
        ("imdb", "train.parquet", ["text"], 400),
    ],
)
def test_batches_of_real_text_hold_rows_of_similar_length(folder, file, columns, longest) -> None:
    root = os.environ.get("LSTM_READOUT_DATA")
    if not root:
        pytest.skip("LSTM_READOUT_DATA is not set")
    rows = read_files({"train": file}, Path(root) / folder)["train"][0].rows
    lengths = np.array([[len(text.split()[:longest]) + 1 for text in rows[column][:]] for column in columns]).T
    for size in (32, 64, 128):
        made = sampler(lengths, batch_size=size)
        assert made.fill() == pytest.approx(fill(lengths, list(made)))
        assert made.fill() >= 0.97


@given(lengths_of_rows, budgets, st.integers(0, 400))
def test_a_resumed_epoch_gives_exactly_its_rest(lengths: np.ndarray, budget: int | None, done: int) -> None:
    whole = list(sampler(lengths, max_tokens=budget, epoch=2))
    done = min(done, len(whole))
    resumed = sampler(lengths, max_tokens=budget)
    resumed.resume_at = Position(2, done)
    resumed.set_epoch(2)
    assert list(resumed) == whole[done:]
    assert len(resumed) == len(whole)  # an epoch keeps its length: progress goes on where it stood
    for epoch in (1, 3):
        resumed.set_epoch(epoch)
        assert list(resumed) == list(sampler(lengths, max_tokens=budget, epoch=epoch))


@pytest.mark.parametrize("budget", [None, 200])
@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_an_epoch_in_equal_parts(
    world: int, budget: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for count in (45, 60, 333):
        lengths = many_lengths(count)
        alone = list(sampler(lengths, batch_size=2, max_tokens=budget, epoch=1))
        parts = []
        for rank in range(world):
            monkeypatch.setattr(batching, "ranks", lambda rank=rank: (rank, world))
            made = sampler(lengths, batch_size=2, max_tokens=budget, epoch=1)
            parts.append(list(made))
            assert len(made) == len(parts[-1]) == -(-len(alone) // world)
            made.resume_at = Position(1, 1)
            assert list(made) == parts[-1][1:]
        monkeypatch.undo()
        # Each row once; the processes together do in a step what one does in `world`, but for the batches halved
        in_step = [rows for step in zip(*parts, strict=True) for rows in step]
        assert sorted(row for rows in in_step for row in rows) == list(range(count))
        assert [row for rows in in_step for row in rows] == [row for rows in alone for row in rows]
        assert sum(rows not in alone for rows in in_step) <= 2 * (-len(alone) % world)


def test_fewer_rows_than_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "ranks", lambda: (0, 3))
    with pytest.raises(UserError, match=r"trainer.devices=3: wanted a row for each process, got 2 row\(s\)"):
        len(sampler(many_lengths(2)))


def test_lightning_finds_where_to_set_the_epoch() -> None:
    made = sampler(many_lengths(50))
    loader = torch.utils.data.DataLoader(RowDataset({}, GenerateBatch), batch_sampler=made)
    assert isinstance(loader.batch_sampler, EpochSampler)
    assert loader.batch_sampler.sampler is made


def test_a_list_of_rows_is_a_finished_batch() -> None:
    texts = [[5, 2], [6, 7, 2], [2]]
    batch = RowDataset({"text": Ragged.from_lists(texts)}, GenerateBatch).__getitems__([2, 0])
    assert [row.tolist() for row in unpack_sequence(batch.inputs)] == [[1], [1, 5]]


# --- a stream


def columns_of(stream: StreamDataset) -> tuple[list[list[int]], list[list[int]]]:
    """Return what each column reads and predicts over all windows."""
    reads: list[list[int]] = []
    predicts: list[list[int]] = []
    for item in range(len(stream)):
        batch = stream[item]
        for columns, data in ((reads, batch.inputs.data), (predicts, batch.targets)):
            for k, row in enumerate(unpack_sequence(batch.inputs._replace(data=data))):
                if item == 0:
                    columns.append([])
                columns[k] += row.tolist()
    return reads, predicts


@given(st.integers(2, 200), st.integers(1, 250), st.integers(1, 250))
@example(2, 1, 1)  # one token to predict
@example(101, 10, 10)  # divides
@example(100, 7, 9)  # does not divide
@example(20, 4, 500)  # a window longer than the stream
@example(50, 1, 8)  # one column
@example(10, 64, 5)  # more columns than tokens
def test_the_columns_of_all_windows_are_the_stream_once_and_in_order(count: int, columns: int, window: int) -> None:
    tokens = np.arange(100, 100 + count)
    stream = StreamDataset(tokens, columns=columns, window=window)
    reads, predicts = columns_of(stream)
    assert list(chain.from_iterable(reads)) == tokens[:-1].tolist()
    assert list(chain.from_iterable(predicts)) == tokens[1:].tolist()
    assert len(reads) == min(columns, count - 1)
    assert max(map(len, reads)) - min(map(len, reads)) <= 1
    assert len(stream) == -(-max(map(len, reads)) // window)
    assert [stream[item].continues for item in range(len(stream))] == [False] + [True] * (len(stream) - 1)
    for item in range(len(stream)):
        assert len(stream[item].inputs.batch_sizes) <= window
        assert stream[item].tokens == len(stream[item].targets) > 0
    with pytest.raises(IndexError):
        stream[len(stream)]


@given(st.integers(2, 200), st.integers(1, 250), st.integers(1, 250), st.integers(1, 250))
@example(2, 1, 1, 1)
@example(31, 10, 1, 100)  # a window of one step, and columns shorter than their past
@example(100, 7, 9, 20)
def test_columns_that_read_their_past_first_score_every_token_once(
    count: int, columns: int, window: int, warm_up: int
) -> None:
    tokens = np.arange(count)  # each is its own place
    stream = StreamDataset(tokens, columns=columns, window=window, warm_up=warm_up)
    reads: dict[int, list[int]] = {}
    scored: dict[int, list[int]] = {}
    for item in range(len(stream)):
        batch = stream[item]
        chosen = torch.zeros(len(batch.inputs.data), dtype=torch.bool)
        chosen[slice(None) if batch.scored is None else batch.scored] = True
        assert torch.equal(batch.inputs.data[chosen] + 1, batch.targets)
        assert batch.tokens == int(chosen.sum()) > 0
        ids, marks = unpack_sequence(batch.inputs), unpack_sequence(batch.inputs._replace(data=chosen))
        for k, (row, mark) in enumerate(zip(ids, marks, strict=True)):
            reads.setdefault(k, []).extend(row.tolist())
            scored.setdefault(k, []).extend(row[mark].tolist())
    assert len(reads) == min(columns, count - 1)
    for k, places in reads.items():
        start = max(scored[k][0] - warm_up, 0)
        assert places == list(range(start, scored[k][-1] + 1))
        assert scored[k] == list(range(scored[k][0], scored[k][-1] + 1))
    assert sorted(chain.from_iterable(scored.values())) == tokens[:-1].tolist()


@pytest.mark.parametrize(("count", "columns"), [(2, 1), (4097, 1), (8192, 1), (8193, 2), (40_961, 10), (10**6, 64)])
def test_an_evaluation_stream_has_columns_by_its_length(count: int, columns: int) -> None:
    stream = evaluation_stream(np.zeros(count, dtype=np.int32))
    assert int(stream[len(stream) // 2].inputs.batch_sizes[0]) == columns
    assert sum(stream[item].tokens for item in range(len(stream))) == count - 1


def test_windows_are_of_int64_as_embeddings_want_them() -> None:
    batch = StreamDataset(np.arange(9, dtype=np.int32), columns=2, window=3)[0]
    assert batch.inputs.data.dtype == batch.targets.dtype == torch.int64


def test_windows_come_in_order_and_resume_in_the_middle() -> None:
    made = StreamSampler(5, Position())
    assert (list(made), len(made)) == ([0, 1, 2, 3, 4], 5)
    made.resume_at = Position(1, 3)
    assert list(made) == [3, 4]  # Lightning asks before it sets the epoch
    made.set_epoch(0)
    assert list(made) == [0, 1, 2, 3, 4]
    made.set_epoch(1)
    assert list(made) == [3, 4]
    made.set_epoch(2)
    assert list(made) == [0, 1, 2, 3, 4]
