"""Imports point down: what stands on a lower floor knows nothing of the floors above, nor of their libraries."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import lstm_readout

ROOT = Path(lstm_readout.__file__).parent
FLOORS = [
    {
        "errors",
        "engine",
        "dropout",
        "initialization",
        "lstm",
        "ragged",
        "tokenizer",
        "vectors",
        "vector_file",
        "torchtext",
    },
    # "": the package itself, with LSTM and pipelines
    {"models", "decoding", "checkpoint", "transfer", "pipelines", "doctor", ""},
    {
        "data",
        "baselines",
        "kneser_ney",
        "tasks",
        "callbacks",
        "unfreezing",
        "lr_finder",
        "averaging",
        "progress",
        "trainer",
        "memory",
        "plots",
        "report",
        "card",
        "doctor.callback",
        "doctor.project",
    },
    {
        "config",
        "overrides",
        "schema",
        "composer",
        "arguments",
        "beginning",
        "build",
        "train",
        "evaluate",
        "predict",
        "cli",
    }
    | {"doctor.command", "explain", "compare"},
]
HEAVY = ["lightning", "hydra", "omegaconf", "datasets", "pandas", "matplotlib", "torchmetrics", "sacrebleu", "rich"]
MODULES = sorted(ROOT.rglob("*.py"))


def floor_of(module: str) -> int:
    """Return the floor of ``lstm_readout.<module>``."""
    for name in (module, *(module.rsplit(".", cut)[0] for cut in range(1, module.count(".") + 1))):
        found = [number for number, floor in enumerate(FLOORS) if name in floor]
        if found:
            return found[0]
    raise AssertionError(f"lstm_readout.{module} has no floor: say in FLOORS where it stands")


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imported(path: Path) -> set[str]:
    """Return every module that the file imports, at any depth of its code."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: name_of(path) or "lstm_readout")
def test_a_module_imports_nothing_from_a_higher_floor(path):
    floor = floor_of(name_of(path))
    own = {name.partition(".")[2] for name in imported(path) if name.split(".")[0] == "lstm_readout"}
    higher = {module for module in own if floor_of(module) > floor}
    assert not higher
    if floor < 2:
        assert not {name.split(".")[0] for name in imported(path)} & set(HEAVY)


@pytest.mark.parametrize("name", ["lstm", "models.encoder", "models.classify", "models.generate", "models.translate"])
def test_the_lstm_and_the_models_need_torch_and_nothing_else(name):
    foreign = {module.split(".")[0] for module in imported(ROOT / f"{name.replace('.', '/')}.py")}
    assert foreign - set(sys.stdlib_module_names) <= {"torch", "lstm_readout", "typing_extensions"}


@pytest.mark.parametrize(
    ("module", "absent"),
    [("lstm_readout.models", HEAVY), ("lstm_readout.tasks", ["hydra", "omegaconf"])],
)
def test_importing_leaves_out_what_it_does_not_need(module, absent):
    code = f"import sys, {module}; print([name for name in {absent} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
