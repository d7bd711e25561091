"""The house: few rooms on few floors, imports that point down, and no two files of one name."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import lstm_readout

ROOT = Path(lstm_readout.__file__).parent
FLOORS = [
    {"errors"},
    {"nn", "tokenizer", "training"},
    {"models", "data"},
    {"inference"},
    {"", "tasks"},  # "": the package itself, with LSTM and the inference pipelines
    {"config", "explain", "doctor", "report"},
    {"compare"},
    {"commands"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
HEAVY = ["lightning", "hydra", "omegaconf", "datasets", "pandas", "matplotlib", "torchmetrics", "sacrebleu", "rich"]
LIBRARIES = {  # room -> which of the heavy libraries it may import
    "nn": [],
    "tokenizer": [],
    "models": [],
    "inference": [],
    "training": ["lightning", "rich"],
    "data": ["lightning", "datasets", "pandas"],
    "tasks": ["lightning", "torchmetrics", "sacrebleu", "datasets"],
}
SHARED_NAMES = {"__init__.py", "base.py", "classify.py", "generate.py", "translate.py"}
MODULES = sorted(ROOT.rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def room_of(module: str) -> str:
    return "commands" if module == "__main__" else module.split(".")[0]  # python -m lstm_readout


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


def own_imports(path: Path) -> set[str]:
    return {name.partition(".")[2] for name in imported(path) if name.split(".")[0] == "lstm_readout"}


def test_there_are_at_most_fourteen_rooms_on_eight_floors():
    rooms = {room_of(name_of(path)) for path in MODULES} - {""}
    assert len(rooms) <= 14
    assert len(FLOORS) <= 8
    assert rooms == set(FLOOR) - {""}, "say in FLOORS where each room stands"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: name_of(path) or "lstm_readout")
def test_a_module_imports_from_its_own_room_and_from_lower_floors_only(path):
    room = room_of(name_of(path))
    wrong = {name for name in own_imports(path) if room_of(name) != room and FLOOR[room_of(name)] >= FLOOR[room]}
    assert not wrong


@pytest.mark.parametrize("path", MODULES, ids=lambda path: name_of(path) or "lstm_readout")
def test_a_room_imports_only_the_libraries_that_it_may(path):
    room = room_of(name_of(path))
    if room in LIBRARIES:
        assert {name.split(".")[0] for name in imported(path)} & set(HEAVY) <= set(LIBRARIES[room])


def test_no_two_files_share_a_name():
    names = Counter(path.name for path in MODULES if path.name not in SHARED_NAMES)
    assert [name for name, number in names.items() if number > 1] == []


@pytest.mark.parametrize("path", sorted((ROOT / "nn").glob("*.py")), ids=lambda path: path.name)
def test_the_parts_of_models_need_torch_and_nothing_else(path):
    foreign = {module.split(".")[0] for module in imported(path)}
    assert foreign - set(sys.stdlib_module_names) <= {"torch", "lstm_readout", "typing_extensions"}


@pytest.mark.parametrize(
    ("module", "absent"),
    [("lstm_readout.models", HEAVY), ("lstm_readout.tasks", ["hydra", "omegaconf"])],
)
def test_importing_leaves_out_what_it_does_not_need(module, absent):
    code = f"import sys, {module}; print([name for name in {absent} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
