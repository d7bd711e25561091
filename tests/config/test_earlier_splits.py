"""A run of an earlier version holds out the rows that it held out then."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lstm_readout.config.run_folder import of_run
from lstm_readout.models.checkpoint import hyper_parameters, read_checkpoint
from lstm_readout.tokenizer import TextTokenizer, Vocabulary

EARLIER = "task:\n  name: classify\ndata:\n  path: a.csv\n  columns:\n    text: text\n  holdout: random\nsettings: {}\n"


def resumed(folder: Path, config: str) -> list[str]:
    (folder / ".hydra").mkdir(parents=True)
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.ckpt").touch()
    (folder / ".hydra" / "overrides.yaml").write_text("- task=classify\n- data=files\n- data.path=a.csv\n")
    (folder / ".hydra" / "config.yaml").write_text(config)
    return of_run([f"resume={folder}"], "checkpoints/last.ckpt")


@pytest.mark.parametrize("holdout", ["random", "last"])
def test_a_resumed_run_of_an_earlier_version_reads_and_holds_out_as_then(holdout: str, tmp_path: Path) -> None:
    arguments = resumed(tmp_path / "run", EARLIER.replace("random", holdout))
    assert arguments[:2] == [f"data.holdout={holdout}", "data.format=null"]


@pytest.mark.parametrize(
    "config",
    [
        EARLIER.replace("  holdout", "  format:\n    header: auto\n  holdout"),
        EARLIER.replace("random", "$(touch here)"),
        EARLIER.replace("  holdout: random\n", ""),
    ],
)
def test_other_runs_are_composed_as_they_are_recorded(config: str, tmp_path: Path) -> None:
    arguments = resumed(tmp_path / "run", config)
    assert not [word for word in arguments if word.startswith(("data.holdout", "data.format"))]


def test_a_checkpoint_of_an_earlier_version_is_evaluated_as_it_was_read(tmp_path: Path) -> None:
    vocabulary = Vocabulary({"text": TextTokenizer.train(["a b"])}, ["x", "y"])
    for saved, expected in (({"path": "a.csv"}, None), ({"format": {"header": False}}, {"header": False})):
        values = hyper_parameters("classify", {}, vocabulary, {"data": saved})
        torch.save({"hyper_parameters": values, "state_dict": {}}, tmp_path / "a.ckpt")
        assert read_checkpoint(tmp_path / "a.ckpt").config["data"]["format"] == expected
