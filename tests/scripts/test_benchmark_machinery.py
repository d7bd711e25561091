"""How the benchmark compares: turns, processes, slopes and the picture, on small cases with known answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "scripts"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """A clock that moves only when a side works."""
    from benchmarks import paired

    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(paired.time, "perf_counter", lambda: clock.now)
    return clock


def test_a_slice_ends_with_the_piece_of_work_that_fills_it(clock):
    from benchmarks.paired import run_slice

    done = []

    def side() -> int:
        clock.now += 0.4
        done.append(clock.now)
        return 3

    assert run_slice(side, 1.0) == pytest.approx(3 / 0.4)
    assert len(done) == 3  # 1.2 seconds
    run_slice(side, 0.0)
    assert len(done) == 4


def test_sides_take_turns_so_that_a_slower_machine_moves_no_ratio(clock):
    from benchmarks.paired import alternate, ratio, run_slice

    order = []

    def side(name: str, seconds: float):
        def work() -> int:
            clock.now += seconds * (1 + clock.now / 100)  # something else takes more and more of the machine
            order.append(name)
            return 10

        return lambda length: run_slice(work, length)

    speeds = alternate({"ours": side("ours", 0.1), "peer": side("peer", 0.2)}, seconds=0.0, budget=1e9, most=8)
    assert order[:2] == ["ours", "peer"]  # the warm-up, which is not counted
    assert order[2:6] == ["ours", "peer", "peer", "ours"]
    assert {name: len(of) for name, of in speeds.items()} == {"ours": 8, "peer": 8}
    result = ratio(speeds, "ours", "peer", seed=1)
    assert result.ratio == pytest.approx(2, rel=0.01)
    assert result.more["fastest"] == pytest.approx(2, rel=0.01)
    assert result.more["rounds"] == 8
    assert result.more["seed"] == 1
    assert result.more["units_per_second"]["peer"] == pytest.approx(50, rel=0.2)


def test_no_round_begins_after_the_budget_but_the_least_are_always_run(clock):
    from benchmarks.paired import alternate, run_slice

    def work() -> int:
        clock.now += 1.0
        return 1

    runs = {"one": lambda seconds: run_slice(work, seconds)}
    assert len(alternate(runs, seconds=1.0, budget=0.0, least=4, most=9)["one"]) == 4
    assert len(alternate(runs, seconds=1.0, budget=5.5, least=4, most=9)["one"]) == 6
    assert len(alternate(runs, seconds=1.0, budget=1e9, least=4, most=9)["one"]) == 9


SIDES = """
import os
import torch

print("building")  # a library that prints must not be taken for an answer
built = 0

class Answer(int):  # units, which no addition and no division by the time taken changes
    def __radd__(self, other):
        return self
    def __truediv__(self, taken):
        return int(self)

def process(what):
    answers = {"id": os.getpid, "threads": torch.get_num_threads}
    return lambda: Answer(answers[what]())

def counting():
    global built
    built += 1
    number = Answer(built)
    return lambda: number

def ends():
    raise SystemExit("no such corpus")
"""


@pytest.fixture
def sides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from benchmarks import worker

    (tmp_path / "sides_of_a_test.py").write_text(SIDES)
    scripts = worker.environment()["PYTHONPATH"]
    monkeypatch.setattr(worker, "environment", lambda: {"PYTHONPATH": f"{scripts}:{tmp_path}"})


def test_a_worker_is_a_process_of_its_own_that_keeps_its_sides(sides, capfd):
    import os

    from benchmarks.worker import Worker

    with Worker(keep_memory=True) as one, Worker(keep_memory=False) as other:
        ids = {worker.run(0.0, "sides_of_a_test:process", what="id") for worker in (one, other, one)}
        assert len(ids) == 2
        assert os.getpid() not in ids
        for threads in (1, 2, 1):
            assert one.run(0.0, "sides_of_a_test:process", threads=threads, what="threads") == threads
        run = one.bind("sides_of_a_test:counting")
        assert [run(0.0), run(0.0)] == [1, 1]  # built once
        with pytest.raises(RuntimeError, match="the worker ended with 1 while it ran sides_of_a_test:ends; see above"):
            other.run(0.0, "sides_of_a_test:ends")
    assert "no such corpus" in capfd.readouterr().err
    assert one.process.returncode == 0


def test_cells_are_measured_with_both_allocators_and_the_worst_counts():
    from functools import partial

    from benchmarks.engine import against
    from benchmarks.worker import with_both_allocators

    cells = {"short": ([[3, 2]], 4), "long": ([[40, 2]], 4)}
    result = with_both_allocators(partial(against, "packed", cells, least=2, budget=0, seconds=0.0))
    by_default, with_setting = (result.more[f"allocator_{name}_cells"] for name in ("default", "both"))
    assert set(by_default) == set(with_setting) == set(cells)
    assert result.ratio == min(cell["ratio"] for cell in by_default.values()) > 0
    assert result.more["allocator_both"] == min(cell["ratio"] for cell in with_setting.values())
    assert by_default["long"]["rounds"] == 2


@pytest.mark.parametrize(("cost", "expected"), [(lambda n: 3 * n, 1), (lambda n: n**2, 2), (lambda n: 7, 0)])
def test_a_slope_is_the_power_of_the_cost(cost, expected):
    from benchmarks.growth import LENGTHS, slope

    assert slope(LENGTHS, [cost(n) for n in LENGTHS]) == pytest.approx(expected)


def test_a_slope_is_that_of_the_large_sizes():
    from benchmarks.growth import LENGTHS, slope

    assert slope(LENGTHS, [n + n**2 / 500 for n in LENGTHS]) > 1.2  # quadratic in the end
    assert slope(LENGTHS, [100 + n for n in LENGTHS]) < 1
    assert slope([1, 10, 100], [5, 50, 500]) == pytest.approx(1)


def test_growth_is_measured_and_drawn(tmp_path):
    from benchmarks.growth import cost_of_rows, curve, of_steps, plot_growth

    steps = of_steps("length", [4, 8, 16], budget=0, batch_size=2, vocab_size=20, hidden_size=4)
    assert steps.more["axis"] == "length"
    assert steps.more["sizes"] == [4, 8, 16]
    assert all(0 < seconds < 10 for seconds in steps.more["seconds"])
    seconds, mebibytes = cost_of_rows(2000)
    assert seconds > 0.01
    assert 0 < mebibytes < 2000
    rows = curve("rows", [1000, 2000], seconds=[1.0, seconds], mebibytes=[1.0, mebibytes])
    measured = {"growth_length": steps.more, "growth_rows": rows, "generate_float": {"ratio": 1.0}}
    path = plot_growth(measured, tmp_path / "docs")
    assert path is not None
    drawn = path.read_text()
    for label in ("longest row of a batch", "rows of a text file", "seconds", "MiB at the peak"):
        assert label in drawn
    before = path.read_bytes()
    plot_growth(measured, tmp_path / "docs")
    assert path.read_bytes() == before
    assert plot_growth({"generate_float": {"ratio": 1.0}}, tmp_path) is None
