"""The pages "Add a ..." work as printed: their files in an empty folder, their commands run on the installed wheel.

A block with a title is a file; each line of a bash block is a command, which must exit with 0; each line of a block
titled "output" occurs in what the bash block before it printed, where ``...`` is anything and blanks count as one.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from lstm_readout.data.module import TextDataModule
from lstm_readout.errors import UserError
from lstm_readout.tokenizer import TextTokenizer, Vocabulary
from lstm_readout.tokenizer.ragged import pack

REPOSITORY = Path(__file__).parents[2]
PAGES = sorted((REPOSITORY / "docs").rglob("add-a-*.md"))
TASK_PAGE = next(page for page in PAGES if page.name == "add-a-task.md")
BLOCK = re.compile(r'^```(\w+)(?: title="([^"\n]+)")?[^\n]*\n(.*?)^```$', re.M | re.S)
SECONDS = 300  # for each command
NO_NETWORK = """
import socket

connect = socket.socket.connect


def refuse(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1"):
        raise OSError(f"the network is off: {address}")
    return connect(self, address)


socket.socket.connect = refuse
"""


class Block(NamedTuple):
    language: str
    title: str
    body: str


class PageError(AssertionError):
    """A page does not work as printed."""


def blocks_of(page: str) -> list[Block]:
    return [Block(*match.groups(default="")) for match in BLOCK.finditer(page)]


def commands_of(block: Block) -> list[str]:
    lines = re.sub(r"\\\n\s*", "", block.body).splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


def write_files(blocks: list[Block], folder: Path) -> None:
    for block in blocks:
        path = folder / block.title
        if block.language == "bash" or block.title in ("", "output"):
            continue
        if path.exists():
            raise PageError(f"two blocks are titled {block.title}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.body, encoding="utf-8")


def run_page(page: str, folder: Path, programs: Path) -> None:
    """Follow a page in ``folder``, with the ``python`` and ``lstm-readout`` of the folder ``programs``."""
    blocks = blocks_of(page)
    write_files(blocks, folder)
    guard = folder.with_name(f"{folder.name}-without-network")
    guard.mkdir()
    (guard / "sitecustomize.py").write_text(NO_NETWORK)
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"} | nowhere
    environment |= {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": f"{folder}:{guard}", "COLUMNS": "200"}
    printed = ""
    for block in blocks:
        if block.language == "bash":
            printed = "\n".join(run(command, folder, environment) for command in commands_of(block))
        elif block.title == "output":
            check_output(block.body, printed)


def run(command: str, folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
    )
    if done.returncode:
        raise PageError(f"exit code {done.returncode} of: {command}\n{done.stdout}")
    return done.stdout


def check_output(expected: str, printed: str) -> None:
    plain = re.sub(r"[ \t]+", " ", printed)
    for line in filter(None, map(str.strip, expected.splitlines())):
        parts = re.split(r"\.\.\.", re.sub(r"[ \t]+", " ", line))
        if not re.search(rf"(?<!\w){'.*'.join(map(re.escape, parts))}(?!\w|\.\d)", plain):
            raise PageError(f"the page says that this is printed:\n{line}\nbut it was:\n{printed}")


# --- the pages


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_works_as_printed(page: Path, installed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    where = [str(installed / "python"), "-c", "import lstm_readout; print(lstm_readout.__file__)"]
    module = subprocess.run(where, cwd=folder, env={}, capture_output=True, text=True, check=True).stdout
    assert not Path(module).is_relative_to(REPOSITORY)
    run_page(page.read_text(encoding="utf-8"), folder, installed)
    if page == TASK_PAGE:
        both, forward = (
            json.loads((folder / "runs" / run / "metrics.json").read_text()) for run in ("both", "forward")
        )
        assert both["test/span_f1"] > 0.98
        assert forward["test/span_f1"] < 0.5  # three kinds of name to guess among


def page_of(*commands: str, output: str = "", files: str = "") -> str:
    expected = f'```text title="output"\n{output}\n```\n' if output else ""
    return f"{files}\n```bash\n" + "\n".join(commands) + f"\n```\n\n{expected}"


FILE = '```python title="a/b.py"\nprint("the   answer is 42.5")\n```\n'


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        (page_of("true", "python -c 'raise SystemExit(3)'", "true"), "exit code 3 of: python -c"),
        (page_of("no-such-command"), "exit code 127"),
        (page_of("! true"), "exit code 1"),
        (
            page_of("python a/b.py", output="the answer is 43", files=FILE),
            "says that this is printed:\nthe answer is 43",
        ),
        (page_of("python a/b.py", output="the answer is 42", files=FILE), "the answer is 42\nbut it was"),
        (page_of("python a/b.py", output="answer is 42.5\nmore", files=FILE), "more\nbut it was"),
        (page_of("python a/b.py", files=FILE * 2), "two blocks are titled a/b.py"),
        (page_of("python c.py", files=FILE), "can't open file"),
        (page_of("python -c \"import urllib.request as r; r.urlopen('http://192.0.2.1')\""), "Error"),
        (page_of("python -c \"import socket; socket.create_connection(('192.0.2.1', 80))\""), "the network is off"),
    ],
)
def test_a_page_that_does_not_work_fails(page: str, reason: str, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    with pytest.raises(PageError) as failed:
        run_page(page, folder, Path(sys.executable).parent)
    assert reason in str(failed.value)


def test_a_page_that_works_passes(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    commands = ("# a comment", "python \\", "  a/b.py", "python -c 'import a.b'")
    run_page(
        page_of(*commands, output="the answer is 42.5\nthe ... 42...", files=FILE), folder, Path(sys.executable).parent
    )


# --- the tagger of the page "Add a task"


@pytest.fixture
def tagging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Give the page's own module."""
    write_files(blocks_of(TASK_PAGE.read_text(encoding="utf-8")), tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("tagger", "tagging"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module("tagging")
    for name in ("tagger", "tagging"):
        sys.modules.pop(name, None)


def untrained(tagging: Any, texts: list[str], **options: Any) -> Any:
    words = TextTokenizer.train(texts, kind="whitespace")
    tags = TextTokenizer.train(["B-PER I-PER B-LOC I-LOC O"], kind="whitespace")
    vocabulary = Vocabulary({"text": words, "tags": tags}, [])
    model = tagging.Tagger(**tagging.TagTask.sizes(vocabulary), embedding_size=8, hidden_size=8, **options)
    return tagging.TagTask(model=model, vocabulary=vocabulary).eval()


@pytest.mark.parametrize(
    ("tags", "wanted"),
    [
        ("O O", set()),
        ("B-X I-X O B-Y", {("X", 0, 2), ("Y", 3, 4)}),
        ("B-X B-X I-X", {("X", 0, 1), ("X", 1, 3)}),
        ("B-X I-Y", {("X", 0, 1), ("Y", 1, 2)}),  # conlleval: another type ends a span and begins one
        ("I-X I-X O I-X", {("X", 0, 2), ("X", 3, 4)}),  # without a B-, too
        ("", set()),
    ],
)
def test_spans_are_those_of_conlleval(tagging: Any, tags: str, wanted: set) -> None:
    assert tagging.spans(tags.split()) == wanted


def test_span_f1_is_the_value_computed_by_hand(tagging: Any) -> None:
    metric = tagging.SpanF1()
    # Right: one of two (the other is too short). Predicted: 3
    metric.update([["B-PER", "O", "B-LOC", "O", "B-PER"]], [["B-PER", "O", "B-LOC", "I-LOC", "O"]])
    # The right words, but another type. Predicted: 1
    metric.update([["O", "B-LOC", "I-LOC"], ["O"]], [["O", "B-PER", "I-PER"], ["B-PER"]])
    precision, recall = 1 / 4, 1 / 4
    assert float(metric.compute()) == pytest.approx(2 * precision * recall / (precision + recall))
    metric.update([["B-LOC"]], [["B-LOC"]])
    precision, recall = 2 / 5, 2 / 5
    assert float(metric.compute()) == pytest.approx(2 * precision * recall / (precision + recall))
    metric.update([["O", "O", "O"]], [["B-LOC", "B-LOC", "O"]])
    precision, recall = 2 / 5, 2 / 7
    assert float(metric.compute()) == pytest.approx(2 * precision * recall / (precision + recall))


def test_no_span_anywhere_is_a_score_of_zero(tagging: Any) -> None:
    metric = tagging.SpanF1()
    metric.update([["O"]], [["O"]])
    assert float(metric.compute()) == 0


@pytest.mark.parametrize("bidirectional", [True, False])
def test_other_rows_of_the_batch_change_no_score_and_no_tag(tagging: Any, bidirectional: bool) -> None:
    texts = ["b a", "a b c d e f g h a b", "", "c", "d c b a d"]
    task = untrained(tagging, texts, bidirectional=bidirectional)
    column, _ = task.vocabulary.tokenizers["text"].encode(texts)

    def logits(rows: list[int]) -> list[torch.Tensor]:
        with torch.no_grad():
            return torch.nn.utils.rnn.unpack_sequence(task.model(pack(column, np.array(rows))))

    together = logits([0, 1, 2, 3, 4])
    for row, scores in enumerate(together):
        torch.testing.assert_close(logits([row])[0], scores)
    assert task.tag(texts) == [task.tag([text])[0] for text in texts]
    assert [len(tags) for tags in task.tag(texts)] == [len(text.split()) for text in texts]


def test_words_behind_are_read_by_two_directions_alone(tagging: Any) -> None:
    changes = {}
    for bidirectional in (True, False):
        task = untrained(tagging, ["a b c"], bidirectional=bidirectional)
        column, _ = task.vocabulary.tokenizers["text"].encode(["a b b", "a b c"])
        with torch.no_grad():
            one, other = (task.model(pack(column, np.array([row]))).data for row in range(2))
        changes[bidirectional] = [not torch.equal(a, b) for a, b in zip(one, other, strict=True)]
    assert changes == {True: [True] * 4, False: [False, False, True, True]}


def test_the_end_of_a_row_and_unknown_tags_are_scored_as_the_page_says(tagging: Any) -> None:
    task = untrained(tagging, ["a b c"])
    words, tags = (task.vocabulary.tokenizers[role].encode(texts)[0] for role, texts in ROWS.items())
    columns = {"text": words, "tags": tags, "tags_text": np.array(ROWS["tags"], dtype=object)}
    batch = tagging.TagBatch.collate(columns, np.arange(2))
    with torch.no_grad():
        loss, number = task.loss(batch, "val")
        first, second = torch.nn.utils.rnn.unpack_sequence(task.model(batch.words))
    names = task.vocabulary.tokenizers["tags"].tokens[tagging.FIRST :]
    known = [(first[0], "B-PER"), (first[2], "O"), (second[0], "O")]  # neither B-Never nor <eos>
    assert number == 3
    assert float(loss) == pytest.approx(sum(-float(row.log_softmax(-1)[names.index(tag)]) for row, tag in known) / 3)
    task.measure(batch, "val")
    right = sum(names[row.argmax()] == tag for row, tag in known)
    assert task.measured("val")["accuracy"] == pytest.approx(right / 4)  # B-Never is wrong, whatever is predicted


ROWS = {"text": ["a b c", "c"], "tags": ["B-PER B-Never O", "O"]}


def test_a_tokenizer_that_splits_words_is_refused(tagging: Any, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"text": "the U.S. won", "tags": "O B-LOC O"}) + "\n")
    options = {"roles": tagging.TagTask.roles, "batch_type": tagging.TagBatch, "validation": 0, "test": 0}
    data = TextDataModule(**options, name="files", path=str(path))
    with pytest.raises(UserError, match="tokenizer=whitespace"):
        next(iter(data.train_dataloader()))
