"""The benchmark's own machinery, and one row of each kind on a small case."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = str(Path(__file__).parents[2] / "scripts")


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.syspath_prepend(SCRIPTS)
    monkeypatch.chdir(tmp_path)
    import benchmark

    return benchmark


def run(benchmark: Any, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmark.py", *arguments])
    benchmark.main()


def test_a_row_is_written_with_its_median_and_spread(benchmark: Any, monkeypatch, capsys) -> None:
    from benchmarks.paired import Result, Row

    values = {"quiet": [9.0, 10.0, 10.0, 10.0, 99.0], "noisy": [1.0, 2.0, 4.0, 6.0, 9.0]}
    for name, of in values.items():
        row = Row(id=name, measure=lambda of=of: Result.of(of, allocator_both=7), wanted="at least 1", unit="apples")
        monkeypatch.setitem(benchmark.ROWS, name, row)
    run(benchmark, monkeypatch, "--rows", "quiet,noisy", "--output", "b.json")
    written = json.loads(Path("b.json").read_text())
    assert written["rows"] == {
        "quiet": {"ratio": 10.0, "spread": 0.0, "unit": "apples", "allocator_both": 7},
        "noisy": {"ratio": 4.0, "spread": 0.5, "unit": "apples", "allocator_both": 7, "note": "too noisy to say"},
    }
    assert written["machine"]["cores"] >= 1
    assert "quiet: 10 apples, wanted at least 1" in capsys.readouterr().out


def test_what_cannot_be_measured_is_said_first(benchmark: Any, monkeypatch) -> None:
    with pytest.raises(SystemExit, match=r"error: no such row: fast\. Valid: .*streaming_memory"):
        run(benchmark, monkeypatch, "--rows", "fast")
    monkeypatch.delenv("LSTM_READOUT_DATA", raising=False)
    with pytest.raises(SystemExit, match="error: LSTM_READOUT_DATA: name the folder"):
        run(benchmark, monkeypatch, "--rows", "fill_imdb")
    monkeypatch.setenv("LSTM_READOUT_DATA", "elsewhere")
    with pytest.raises(SystemExit, match=r"error: LSTM_READOUT_DATA=elsewhere: fill_imdb needs imdb/ there"):
        run(benchmark, monkeypatch, "--rows", "fill_imdb")
    assert not list(Path().iterdir())


def test_a_small_file_is_streamed_in_a_process_of_its_own(benchmark: Any) -> None:
    from benchmarks.data import streaming_memory

    measured = streaming_memory(gigabytes=0.02)
    assert 0.1 < measured.ratio < 1.5
    assert measured.more["tokens_per_second"] > 1000


def test_waiting_is_a_share(benchmark: Any) -> None:
    from benchmarks.data import waiting

    small = ("data=sample", "data.batch_size=8", "model.hidden_size=8", "model.embedding_size=8", "tokenizer=word")
    measured = waiting("trec", 0, *small, steps=2, segments=2)
    assert 0 < measured.ratio < 1
