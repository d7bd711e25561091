"""What a newcomer must open stays little: the table of scripts/newcomer.py, whose lists real calls must bear out."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
try:
    import newcomer
finally:
    sys.path.remove(str(ROOT / "scripts"))

QUESTIONS = ["classify", "translate", "generate", "batch", "task", "tokenizer", "hidden_size", "train"]


@pytest.fixture(scope="module")
def measured() -> tuple[dict[str, Any], dict[str, list[str]]]:
    return newcomer.measure()


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_is_answered_by_few_files(name: str, measured: Any) -> None:
    rows, _ = measured
    assert rows[name].faults == []


def test_every_question_is_measured(measured: Any) -> None:
    rows, _ = measured
    assert set(rows) == set(QUESTIONS)


def test_the_number_is_followed_from_the_command_to_the_lstm(measured: Any) -> None:
    _, traced = measured
    through = traced["hidden_size reaches nn.LSTM through"]
    assert (through[0], through[-1]) == ("commands/train.py", "nn/lstm.py")
    assert "models/classify.py" in through
    assert "config/signature.py" in traced["on the way hidden_size is also seen by"]


def test_a_batch_is_followed_to_its_type(measured: Any) -> None:
    _, traced = measured
    assert traced["a batch is made in"][0] == "data/module.py"
    assert {"data/batches.py", "tokenizer/ragged.py"} <= set(traced["a batch is made in"])


def test_a_file_that_is_left_out_of_a_list_is_named() -> None:
    question = newcomer.Question("?", ("data/module.py",), 1, 10**6)
    assert newcomer._outside("also in", ["data/module.py", "data/batches.py"], question) == ["also in data/batches.py"]
    assert newcomer._outside("also in", ["data/module.py"], question) == []
    assert newcomer._row(question._replace(files=("a.py", "errors.py")), []).faults == ["no file a.py", "2 files"]
    assert newcomer._row(question._replace(most_lines=3), []).faults[0].endswith(" lines")


@pytest.mark.parametrize("comment", ["# self.head(x)", '"""self.head(x)"""', "self.head(y)"])
def test_a_line_must_be_code_letter_for_letter(comment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newcomer, "ROOT", tmp_path)
    monkeypatch.setattr(newcomer, "readme_lines", lambda: {"classify": "self.head(x)"})
    (tmp_path / "models").mkdir()
    file = tmp_path / "models" / "classify.py"
    file.write_text(f"def forward(self, x):\n    {comment}\n    return x\n")
    assert newcomer.reading("classify").faults == ["`self.head(x)` is not in models/classify.py"]
    file.write_text("def forward(self, x):\n    return self.head(x), 1\n")
    assert newcomer.reading("classify").faults == []


def test_the_readme_prints_a_line_for_each_task() -> None:
    lines = newcomer.readme_lines()
    assert set(lines) == {"classify", "translate", "generate"}
    for line in lines.values():
        ast.parse(line, mode="eval")


def test_files_of_ones_own_are_those_that_the_configuration_leads_to() -> None:
    page = """
```python title="model.py"
from torch import nn
```
```python title="mine.py"
import model
```
```python title="make_data.py"
import mine
```
```yaml title="configs/task/mine.yaml"
_target_: mine.MyTask
```
```text title="output"
done
```
"""
    assert newcomer.own_files(page) == {"python": ["mine.py", "model.py"], "yaml": ["configs/task/mine.yaml"]}


def test_a_call_with_the_configuration_back_into_a_waiting_file_is_a_climb() -> None:
    functions: dict[str, Any] = {}
    for file, source in {
        "commands/train.py": "def train(config): build(config, finish)\ndef finish(config): pass",
        "config/build.py": "def build(config, then): make(config), then(config), then(1)\ndef make(config): pass",
    }.items():
        exec(compile(source, newcomer.ROOT / file, "exec"), functions)
    trace = newcomer.RunTrace()
    with newcomer.profiled(trace._watch):
        functions["train"](dict.fromkeys(("task", "model", "trainer")))
    assert trace.climbs == ["config/build.py -> commands/train.py:finish"]
    assert list(trace.config_stays) == [
        ("config/build.py", "build"),
        ("config/build.py", "make"),
        ("commands/train.py", "finish"),
    ]


def test_statements_are_counted_at_every_depth(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text('def f(x):\n    """Say."""\n    if x:\n        x += 1\n    return x\n\n\ndef g():\n    pass\n')
    assert newcomer.statements_of(path, "f") == 3
