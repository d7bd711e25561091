"""Mistakes of a user go in, one command line per line of ``bad_inputs.txt``; how each one ended comes out.

Each runs in a fork of a process that has imported everything, in a folder of its own:

    python scripts/bad_inputs.py            # all: a count, and each that is not one message with exit code 2
    python scripts/bad_inputs.py devices    # those whose command line contains the word
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from lstm_readout.commands import cli, compare, doctor, evaluate, explain, predict, train
from lstm_readout.report import plots

IMPORTED = (compare, doctor, evaluate, explain, plots, predict, train)  # a fork starts with them
LINES = Path(__file__).with_suffix(".txt")
ALWAYS = {
    "train": "data.max_rows=100 trainer.max_epochs=1 trainer.accelerator=cpu model.hidden_size=8 baselines=off",
    "compare": "data.max_rows=100 trainer.max_epochs=1 model.hidden_size=8 seeds=0 jobs=1 rows=20",
    "doctor": "data.max_rows=100",
    "explain": "data.max_rows=100",
}  # before the words of a line: small and quick where it is accepted
SECONDS = 120
TASKS = ("classify", "generate", "translate")


class Ending(NamedTuple):
    """How a command line ended."""

    line: str
    code: int
    told: str  # on standard error
    left: tuple[str, ...]  # files and folders that were not there before

    @property
    def kind(self) -> str:
        """Return ``one message``, ``traceback``, ``accepted`` or ``exit N``."""
        if "Traceback" in self.told or "Error executing job" in self.told:
            return "traceback"
        if self.code == 2 and self.told.count("error: ") == 1:
            return "one message"
        return "accepted" if self.code == 0 else f"exit {self.code}"


def read_lines(path: Path = LINES) -> Iterator[tuple[str, bool]]:
    """Yield each command line, and whether it is a mistake: one that starts with ``ok`` is none."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            yield line.removeprefix("ok "), not line.startswith("ok ")


def words_of(line: str) -> list[str]:
    """Return the words of a command line, with those that keep it small."""
    command, *words = shlex.split(line)
    return [command, *shlex.split(ALWAYS.get(command, "")), *words]


def prepare(folder: Path) -> None:
    """Write what the command lines name: data, a run of each task, and files that are none."""
    rows = [f"{word} film,{label}" for word in ("good", "fine", "bright") for label in ("pos",)]
    rows += [f"{word} film,{label}" for word in ("bad", "dull", "slow") for label in ("neg",)]
    (folder / "d.csv").write_text("text,label\n" + "\n".join(rows * 10) + "\n")
    (folder / "empty.csv").write_text("")
    (folder / "empty.ckpt").write_bytes(b"")
    (folder / "text.ckpt").write_text("no checkpoint\n")
    (folder / "some_folder").mkdir()
    (folder / "latin.txt").write_bytes("größe\n".encode("latin-1"))
    (folder / "in.txt").write_text("good film\nbad film\n")
    for task in TASKS:
        ending = run(f"train task={task} hydra.run.dir={task}", folder)
        if ending.code:
            raise RuntimeError(f"{ending.line} ended with {ending.code}: {ending.told}")
    content = (folder / "classify/checkpoints/best.ckpt").read_bytes()
    (folder / "half.ckpt").write_bytes(content[: len(content) // 2])


def end(line: str, template: Path) -> Ending:
    """Run a command line in a copy of the folder, and look at what it left."""
    with tempfile.TemporaryDirectory(prefix="bad-inputs-") as place:
        folder = Path(place, "work")
        shutil.copytree(template, folder)
        before = {str(path.relative_to(folder)) for path in folder.rglob("*")}
        ending = run(line, folder)
        after = {str(path.relative_to(folder)) for path in folder.rglob("*")}
        new = sorted(after - before)
        tops = tuple(path for path in new if str(Path(path).parent) not in new)
        return ending._replace(left=tops)


def run(line: str, folder: Path) -> Ending:
    """Run a command line in a fork."""
    told = folder.with_name(f"{folder.name}-stderr.txt")
    child = os.fork()
    if not child:
        os._exit(_in_child(line, folder, told))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return Ending(line, code, told.read_text(encoding="utf-8", errors="replace"), ())


def _in_child(line: str, folder: Path, told: Path) -> int:
    os.chdir(folder)
    signal.alarm(SECONDS)
    with Path(os.devnull).open("r+") as nothing, told.open("w") as file:
        for stream, target in enumerate((nothing, nothing, file)):
            os.dup2(target.fileno(), stream)
        try:
            sys.argv = ["lstm-readout", *words_of(line)]
            cli.main()
        except SystemExit as stop:
            return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        except BaseException:
            traceback.print_exc()
            return 1
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
    return 0


def main() -> None:
    """Run all command lines, or those with the given words, and print what went wrong and the counts."""
    torch.set_num_threads(1)
    os.environ.setdefault("LSTM_READOUT_CACHE", tempfile.mkdtemp(prefix="bad-inputs-cache-"))
    chosen = [one for one in read_lines() if all(word in one[0] for word in sys.argv[1:])]
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="bad-inputs-") as place:
        template = Path(place, "template")
        template.mkdir()
        prepare(template)
        for line, mistake in chosen:
            ending = end(line, template)
            right = ending.kind == ("one message" if mistake else "accepted") and not (mistake and ending.left)
            counts[f"{'mistakes' if mistake else 'no mistakes'}: {ending.kind}"] += 1
            counts["mistakes that left a folder or file"] += mistake and bool(ending.left)
            if not right or sys.argv[1:]:
                last = ending.told.strip().rpartition("\n")[2][:200]
                print(f"{ending.kind:12} {line}\n             {last} {ending.left or ''}", flush=True)
    for kind, count in sorted(counts.items()):
        print(f"{count:5} {kind}")


if __name__ == "__main__":
    main()
