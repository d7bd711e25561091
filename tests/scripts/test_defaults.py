"""The published table of the default settings is what the script measured."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("default_settings", ROOT / "scripts" / "defaults.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_shows_every_measured_cell(script):
    page = (ROOT / "docs" / "do" / "defaults.md").read_text(encoding="utf-8")
    assert "\n".join(script.table(ROOT / "docs" / "results" / "defaults.jsonl")) in page


def test_a_table_has_a_row_per_corpus_and_size(script, tmp_path):
    cells = tmp_path / "cells.jsonl"
    cells.write_text(
        '{"corpus": "mr", "size": "500", "settings": "auto", "score": 0.6417, "baseline": 0.6576, "seconds": 3.6}\n'
        '{"corpus": "mr", "size": "500", "settings": "fixed", "score": 0.5507, "baseline": 0.6576, "seconds": 1.6}\n'
        '{"corpus": "ptb", "size": "all", "settings": "auto", "score": 4.5, "baseline": 4.9494, "seconds": 900.0}\n'
    )
    assert list(script.table(cells))[2:] == [
        "| mr | 500 | 0.642 | 0.551 | 0.658 | 4 |",
        "| ptb | all | 4.500 |  | 4.949 | 900 |",
    ]


def test_training_rows_are_the_first_and_the_test_rows_are_all(script, tmp_path):
    (tmp_path / "data" / "ptb").mkdir(parents=True)
    for name, lines in (("train", 5), ("valid", 3), ("test", 4)):
        (tmp_path / "data" / "ptb" / f"ptb.{name}.txt").write_text("".join(f"{name} {i}\n" for i in range(lines)))
    script.CORPORA["ptb"].prepare(tmp_path / "data", tmp_path, 2)
    assert (tmp_path / "train.txt").read_text() == "train 0\ntrain 1\n"
    assert len((tmp_path / "validation.txt").read_text().splitlines()) == 3
    assert len((tmp_path / "test.txt").read_text().splitlines()) == 4
