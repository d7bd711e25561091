"""What a newcomer must open to answer a question: python scripts/newcomer.py prints files, lines and the goal.

The table QUESTIONS names the files. Where a program can, it checks that they are enough: the README's line is in that
file, a real batch is built in those files alone, a real ``model.hidden_size`` reaches ``nn.LSTM`` through them.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import io
import math
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf
from torch import nn

import lstm_readout
from lstm_readout.commands.train import main as train_main
from lstm_readout.data.batches import ClassifyBatch
from lstm_readout.data.module import TextDataModule

REPOSITORY = Path(__file__).resolve().parents[1]
ROOT = Path(lstm_readout.__file__).resolve().parent
BLOCK = re.compile(r'^```(\w+) title="([^"\n]+)"[^\n]*\n(.*?)^```$', re.M | re.S)
HIDDEN_SIZE = 509  # a number used nowhere else


class Question(NamedTuple):
    """Files are relative to the package, pages to the repository."""

    text: str
    files: tuple[str, ...]
    most_files: int
    most_lines: int | None = None  # None for a page
    calls: tuple[str, ...] = ()  # files whose functions are called on the way, under names that say what they do


QUESTIONS = {
    "classify": Question("what does `classify` read?", ("models/classify.py",), 1, 80),
    "translate": Question("what does `translate` read?", ("models/translate.py",), 1, 80),
    "generate": Question("what does `generate` read?", ("models/generate.py",), 1, 80),
    "batch": Question(
        "how is a batch made?",
        ("data/loaders.py", "data/samplers.py", "data/batches.py"),
        3,
        600,
        # train_dataloader, resamples, lengths_of, pack
        ("data/module.py", "tokenizer/text_tokenizer.py", "data/encoding.py", "tokenizer/ragged.py"),
    ),
    "task": Question("how do I add a task?", ("add-a-task.md",), 1),
    "tokenizer": Question("how do I add a tokenizer?", ("add-a-tokenizer.md",), 1),
    "hidden_size": Question(
        "how does `model.hidden_size=64` reach `nn.LSTM`?",
        (
            "commands/train.py",
            "config/hydra_main.py",
            "config/build.py",
            "models/classify.py",
            "nn/encoder.py",
            "nn/lstm.py",
        ),
        6,
        700,
    ),
}
STATEMENTS = 5  # of the function `train`
OWN_FILES = {"python": 2, "yaml": 2}  # of the page "Add a task"


class Row(NamedTuple):
    """One line of the table; a question without faults is answered."""

    question: str
    found: str
    goal: str
    faults: list[str]


# --- what the files say


def line_count(paths: Iterable[Path]) -> int:
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


def readme_lines() -> dict[str, str]:
    """Return task -> the line of code that the README prints for it."""
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| `([^`]+)` \|", (REPOSITORY / "README.md").read_text(), re.M)
    return dict(rows)


def reading(task: str) -> Row:
    """Count the file that says what a task reads; it must contain the README's line, letter for letter."""
    line, question = readme_lines()[task], QUESTIONS[task]
    source = (ROOT / question.files[0]).read_text(encoding="utf-8")
    expressions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.expr)]
    there = any(ast.get_source_segment(source, node) == line for node in expressions)
    return _row(question, [] if there else [f"`{line}` is not in {question.files[0]}"])


def adding(name: str) -> Row:
    """Count the lines of a page; for a task, also the files that the user has to write."""
    question = QUESTIONS[name]
    pages = sorted((REPOSITORY / "docs").rglob(question.files[0]))
    goal = "1 page; 2 Python and 2 YAML files of your own" if name == "task" else "1 page"
    if len(pages) != 1:
        return Row(question.text, f"{len(pages)} pages", goal, [f"{len(pages)} pages named {question.files[0]}"])
    page = pages[0].read_text(encoding="utf-8")
    own = own_files(page)
    faults = [] if "```bash" in page else ["the page has no command"]
    if name == "task":
        faults += [
            f"{len(own[kind])} {kind} files: {own[kind]}" for kind in OWN_FILES if len(own[kind]) > OWN_FILES[kind]
        ]
    found = (
        f"1 page, {line_count(pages)} lines; {len(own['python'])} Python and {len(own['yaml'])} YAML files of your own"
    )
    return Row(question.text, found, goal, faults)


def own_files(page: str) -> dict[str, list[str]]:
    """Return the YAML files of a page and the Python files that a ``_target_`` leads to; no data and no examples."""
    files = {title: body for _, title, body in BLOCK.findall(page)}
    configs = [title for title in files if title.endswith((".yaml", ".yml"))]
    targets = re.findall(r"_target_(?::|=)\s*'?([\w.]+)", page)
    pending = [target.split(".")[0] for target in targets]
    modules: list[str] = []
    while pending:
        name = f"{pending.pop()}.py"
        if name in files and name not in modules:
            modules.append(name)
            pending += [imported.split(".")[0] for imported in _imports(files[name])]
    return {"python": sorted(modules), "yaml": sorted(configs)}


def _imports(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def statements_of(path: Path, name: str) -> int:
    """Count the statements of a function, nested ones included, its docstring not."""
    (function,) = (n for n in ast.parse(path.read_text()).body if isinstance(n, ast.FunctionDef) and n.name == name)
    return (
        sum(isinstance(node, ast.stmt) for node in ast.walk(function)) - 1 - (ast.get_docstring(function) is not None)
    )


# --- what the calls say


@contextlib.contextmanager
def profiled(watch: Callable[[FrameType], None]) -> Iterator[None]:
    """Call ``watch`` with the frame of every Python function as it is called."""
    sys.setprofile(lambda frame, event, _: watch(frame) if event == "call" else None)
    try:
        yield
    finally:
        sys.setprofile(None)


@functools.cache
def file_of(code: CodeType) -> str | None:
    """Return the file of the package that code is from, or None."""
    path = Path(code.co_filename)
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else None


def stack_of(frame: FrameType | None) -> list[str]:
    """Return the files of the package on the stack, outermost first, without consecutive repeats."""
    files: list[str] = []
    while frame is not None:
        file = file_of(frame.f_code)
        if file is not None and (not files or files[-1] != file):
            files.append(file)
        frame = frame.f_back
    return files[::-1]


def batch_files() -> list[str]:
    """Return the files in which an encoded corpus becomes a batch, in the order of their first call."""
    roles: Any = {"text": "text", "label": "label"}
    with tempfile.TemporaryDirectory() as folder:
        data = TextDataModule(roles=roles, batch_type=ClassifyBatch, name="files", path=reviews(folder), cache=False)
        data.setup()
    files: dict[str, None] = {}

    def watch(frame: FrameType) -> None:
        file = file_of(frame.f_code)
        if file is not None:
            files[file] = None

    with profiled(watch):
        next(iter(data.train_dataloader()))
    return list(files)


def reviews(folder: str) -> str:
    """Write a few rows to train on, and return their file."""
    path = Path(folder) / "reviews.csv"
    path.write_text("text,label\n" + "a good film,good\na bad film,bad\n" * 50)
    return str(path)


class RunTrace:
    """What a small training run does with its configuration, from the command line to the last file it writes."""

    def __init__(self) -> None:
        self.to_lstm: list[str] = []  # files on the stack when nn.LSTM gets the number
        self.holds_number: dict[str, None] = {}  # files whose functions get it on the way
        self.config_stays: dict[tuple[str, str], None] = {}  # (file, function) below train that get the config
        self.climbs: list[str] = []  # calls with the config, back into a file that waits for their caller
        self._train: FrameType | None = None

    def run(self) -> RunTrace:
        """Train on a few batches."""
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()), profiled(self._watch):
            train_main(
                [
                    "task=classify",
                    f"model.hidden_size={HIDDEN_SIZE}",
                    "model.embedding_size=8",
                    "data=files",
                    f"data.path={reviews(folder)}",
                    "data.cache=false",
                    "doctor=off",
                    "debug=limited",
                    "trainer.max_epochs=1",
                    f"hydra.run.dir={folder}/run",
                ]
            )
        return self

    def _watch(self, frame: FrameType) -> None:
        file = file_of(frame.f_code)
        if frame.f_code is nn.LSTM.__init__.__code__ and not self.to_lstm and _holds(frame.f_locals):
            self.to_lstm = list(dict.fromkeys(stack_of(frame.f_back)))
        if file is None or frame.f_code.co_name.startswith("<"):
            return
        if not self.to_lstm and _holds(frame.f_locals):
            self.holds_number[file] = None
        if (file, frame.f_code.co_name) == ("commands/train.py", "train"):
            self._train = frame
        elif self._train is not None and any(map(_is_config, frame.f_locals.values())):
            self.config_stays[file, frame.f_code.co_name] = None
            below = stack_of(frame.f_back)
            if file in below[:-1] and below[-1] != file:
                self.climbs.append(f"{below[-1]} -> {file}:{frame.f_code.co_name}")


def _is_config(value: Any) -> bool:
    """Return whether a value is a whole configuration, as Hydra's or as plain values."""
    return isinstance(value, (DictConfig, dict)) and {"task", "model", "trainer"} <= set(value)


def _holds(value: Any, depth: int = 6) -> bool:
    """Return whether the number is in a value: itself, in a container, a configuration, or an override."""
    if isinstance(value, str):
        return f"hidden_size={HIDDEN_SIZE}" in value
    if isinstance(value, DictConfig):
        value = OmegaConf.to_container(value, resolve=False)
    if depth and isinstance(value, Mapping):
        return any(_holds(one, depth - 1) for one in value.values())
    if depth and isinstance(value, (list, tuple)):
        return any(_holds(one, depth - 1) for one in value)
    return type(value) is int and value == HIDDEN_SIZE


# --- the table


def measure() -> tuple[dict[str, Row], dict[str, list[str]]]:
    """Return the rows, and the traced files that are printed below them."""
    rows = {task: reading(task) for task in ("classify", "translate", "generate")}
    made, trace = batch_files(), RunTrace().run()
    rows["batch"] = _row(QUESTIONS["batch"], _outside("a batch is also made in", made, QUESTIONS["batch"]))
    rows |= {name: adding(name) for name in ("task", "tokenizer")}
    question = QUESTIONS["hidden_size"]
    rows["hidden_size"] = _row(question, _outside("it also goes through", trace.to_lstm, question))
    rows["train"] = _train_row(trace)
    traced = {
        "a batch is made in": made,
        "hidden_size reaches nn.LSTM through": trace.to_lstm,
        "on the way hidden_size is also seen by": [file for file in trace.holds_number if file not in trace.to_lstm],
        "train gives the configuration to": [f"{file}:{name}" for file, name in trace.config_stays],
    }
    return rows, traced


def _train_row(trace: RunTrace) -> Row:
    statements = statements_of(ROOT / "commands" / "train.py", "train")
    files = {file for file, _ in trace.config_stays}
    functions, climbs = len(trace.config_stays), len(trace.climbs)
    found = f"{statements} statements; {functions} functions in {len(files)} files get it, {climbs} climbs"
    faults = [f"climbs: {climb}" for climb in trace.climbs]
    if statements > STATEMENTS:
        faults.append(f"train has {statements} statements")
    return Row("path of the configuration through `train`", found, f"{STATEMENTS} statements, 0 climbs", faults)


def _row(question: Question, faults: list[str]) -> Row:
    paths = [ROOT / file for file in question.files]
    there = [path for path in paths if path.is_file()]
    missing = [f"no file {path.relative_to(ROOT)}" for path in paths if path not in there]
    files, lines = len(paths), line_count(there)
    found = f"{files} file{'s' * (files > 1)}, {lines:,} lines"
    return Row(question.text, found, _goal(question), faults + missing + _too_many(question, files, lines))


def _outside(text: str, files: list[str], question: Question) -> list[str]:
    others = [file for file in files if file not in question.files + question.calls]
    return [f"{text} {', '.join(others)}"] if others else []


def _too_many(question: Question, files: int, lines: int) -> list[str]:
    faults = [f"{files} files"] if files > question.most_files else []
    return faults + ([f"{lines} lines"] if lines > (question.most_lines or math.inf) else [])


def _goal(question: Question) -> str:
    return f"{question.most_files} file{'s' * (question.most_files > 1)}, {question.most_lines} lines"


def main() -> None:
    rows, traced = measure()
    print("| question | now | goal | still to do |\n|---|---|---|---|")
    for row in rows.values():
        print(f"| {row.question} | {row.found} | {row.goal} | {'; '.join(row.faults)} |")
    for text, files in traced.items():
        print(f"\n{text}: {', '.join(files)}")


if __name__ == "__main__":
    main()
