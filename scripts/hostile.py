"""Give hostile files and folders to the commands, each in a process of its own, and count what happens.

    python scripts/hostile.py                      # everything, a few minutes on an idle core
    python scripts/hostile.py --only checkpoint --commands predict,evaluate

Right is one line on stderr, exit code 2 and nothing run. The last lines give the figures; each try that is not right is
listed above them.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import gzip
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import torch

files: Any = import_module("lstm_readout_hostile_files")  # what the tests try as well

SMALL = ["data.max_rows=60", "model.hidden_size=4", "model.embedding_size=4", "debug=limited", "doctor=off"]
OF_A_CHECKPOINT = {
    "predict": ["checkpoint={}", "text=a film"],
    "evaluate": ["checkpoint={}", "data=sample", "data.max_rows=60"],
    "explain": ["checkpoint={}", "output=picture"],
    "doctor": ["checkpoint={}"],
    "train": ["task=classify", "init_from={}", *SMALL],
}


class Try(NamedTuple):
    """One command on one file."""

    name: str
    command: str
    arguments: list[str]
    prepare: Callable[[], Any]  # writes the file into the present folder


class Outcome(NamedTuple):
    """What a try came to."""

    kind: str
    seconds: float
    megabytes: float  # beyond what the parent had
    said: str


def checkpoints(commands: list[str]) -> Iterator[Try]:
    """Yield every hostile checkpoint with every command that takes one."""
    for name, (change, _) in files.CHECKPOINTS.items():
        for command in commands:
            arguments = [word.format("stranger.ckpt") for word in OF_A_CHECKPOINT[command]]
            yield Try(f"checkpoint: {name}", command, arguments, lambda change=change: write_checkpoint(change))
    for command in commands:
        arguments = [word.format("stranger.ckpt") for word in OF_A_CHECKPOINT[command]]
        for place in (0.01, 0.3, 0.6, 0.9, 0.99):
            yield Try(f"checkpoint: a bit at {place}", command, arguments, lambda place=place: flip(place))
        yield Try("checkpoint: a pickle that runs", command, arguments, write_pickle)
        yield Try("checkpoint: half of it", command, arguments, lambda: write_checkpoint(keep=0.5))


def write_checkpoint(change: Callable[[Any], Any] = lambda content: None, keep: float = 1.0) -> Path:
    """Write a checkpoint with a change, or only the beginning of it."""
    content = copy.deepcopy(files.good_checkpoint())
    change(content)
    path = Path("stranger.ckpt")
    torch.save(content, path)
    os.truncate(path, int(path.stat().st_size * keep))
    return path


def flip(place: float) -> None:
    """Turn one bit, that of the nearest byte that a checksum covers."""
    data = bytearray(write_checkpoint().read_bytes())
    position = int(len(data) * place)
    while data[position] == 0:
        position -= 1
    data[position] ^= 0x40
    Path("stranger.ckpt").write_bytes(data)


class Runs:
    """A pickle that leaves a trace when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Return a call."""
        return os.system, ("touch RAN",)


def write_pickle() -> None:
    """Write a checkpoint with a call in it."""
    write_checkpoint(lambda content: content["hyper_parameters"].update(config=Runs()))


def run_folders() -> Iterator[Try]:
    """Yield run folders whose overrides, links or files ask for more than a run may."""
    for line in files.OVERRIDES:
        yield folder(f"run folder: {line[:60]}", json.dumps([line]))
    texts = ["a: 1", "!!python/object/apply:os.system ['touch RAN']", "[" * 100_000, "- {a: 1}", "\x00", "[1]"]
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(f"b{i}: &b{i} [*a,*a,*a]\n" for i in range(9))
    for text in (*texts, bomb):
        yield folder(f"run folder: overrides {text[:30]!r}", text)
    for name in ("train.log", "checkpoints/best.ckpt", "metrics.csv", ".hydra/config.yaml"):
        yield folder(
            f"run folder: {name} is a link", "[]", lambda name=name: Path("run", name).symlink_to("/etc/hosts")
        )
    yield folder("run folder: a pipe", "[]", lambda: os.mkfifo("run/train.log"))
    for name, (change, _) in list(files.CHECKPOINTS.items())[::4]:
        yield folder(
            f"run folder: last.ckpt: {name}",
            json.dumps(SMALL),
            lambda change=change: write_checkpoint(change).replace("run/checkpoints/last.ckpt"),
        )


def folder(name: str, overrides: str, change: Callable[[], Any] = lambda: None) -> Try:
    """Return a try of ``resume=run``."""

    def prepare() -> None:
        for file, text in {".hydra/overrides.yaml": overrides, "checkpoints/last.ckpt": "x"}.items():
            Path("run", file).parent.mkdir(parents=True)
            Path("run", file).write_text(text)
        change()

    return Try(name, "train", ["resume=run"], prepare)


def tokenizers() -> Iterator[Try]:
    """Yield tokenizer.json files."""
    text = files.good_checkpoint()["hyper_parameters"]["vocabulary"]["tokenizers"]["text"]["json"]
    words = {"type": "WordLevel", "unk_token": "<unk>"}
    changes: dict[str, Any] = {
        "nested": "[" * 100_000,
        "a list": "[]",
        "a number without end": '{"model": ' + "1" * 10_000 + "}",
        "no model": "{}",
        "binary": "\x00\x01",
        "4 billion": {"model": words | {"vocab": {"<unk>": 0, "</s>": 1, "a": 4_000_000_000}}},
        "9 million": {"model": words | {"vocab": {"<unk>": 0, "</s>": 1, "a": 20_000_000}}},
        "empty": {"model": words | {"vocab": {}}},
        "negative": {"model": words | {"vocab": {"<unk>": -1}}},
        "endless": {"pre_tokenizer": files.split("(a+)+$")},
        "endless twice": {"pre_tokenizer": files.split("((x|y)*)*z")},
        "no pattern": {"pre_tokenizer": files.split("(")},
        "multiplied": {"normalizer": files.replace(4)},
        "unknown part": {"normalizer": {"type": "Evil"}},
        "unknown model": {"model": {"type": "Evil"}},
        "charsmap": {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}},
    }
    for name, change in changes.items():
        content = change if isinstance(change, str) else json.dumps(json.loads(text) | change)
        yield of_file(f"tokenizer: {name}", content, ["tokenizer=file", "tokenizer.path=file"])


def vectors() -> Iterator[Try]:
    """Yield files of word vectors."""
    bomb = gzip.compress(b"9 " * (1 << 21)) * 500
    contents: dict[str, str | bytes] = {
        "announces a billion": "1000000000 1000000000\n",
        "not a number": "a 1 x\n" * 9,
        "nan": "the nan nan nan nan\n",
        "infinite": "the inf 1 1 1\n",
        "binary": b"\x00" * 3_000_000,
        "one line": "a 1 1 1 1\n" + "b 1 " * 3_000_000,
        "a bomb": gzip.compress(b"a 1 1 1 1\n") + bomb,
        "cut": bomb[:1000],
        "a zip": b"PK\x03\x04" + b"\x00" * 100,
        "empty": b"",
    }
    for name, content in contents.items():
        yield of_file(f"vectors: {name}", content, ["vectors=file", "vectors.path=file"])


def data() -> Iterator[Try]:
    """Yield files of data."""
    contents: dict[str, tuple[str, str | bytes]] = {
        "nested": ("a.jsonl", "[" * 100_000),
        "nested objects": ("a.jsonl", '{"a":' * 100_000),
        "a bomb": ("a.csv.gz", gzip.compress(b"text,label\n") + gzip.compress(b"a" * (1 << 22)) * 500),
        "no end": ("a.csv", 'text,label\n"' + "a" * 40_000_000),
        "not parquet": ("a.parquet", b"PAR1" + b"\xff" * 1000 + b"PAR1"),
        "binary": ("a.csv", bytes(range(256)) * 100),
        "one label": ("a.csv", "text,label\na,b\n" * 5),
        "escape codes": ("a.csv", "text,label\na,\x1b[31mred\n"),
        "empty": ("a.csv", b""),
    }
    for name, (file, content) in contents.items():
        yield of_file(f"data: {name}", content, ["data=files", f"data.path={file}"], file)


def of_file(name: str, content: str | bytes, arguments: list[str], file: str = "file") -> Try:
    """Return a try of training with a file."""

    def prepare() -> None:
        Path(file).write_bytes(content if isinstance(content, bytes) else content.encode())

    return Try(name, "train", ["task=classify", *SMALL, "hydra.run.dir=made", *arguments], prepare)


def outcome_of(one: Try, most_seconds: float) -> Outcome:
    """Run a try in a forked process, in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="hostile-") as place:
        began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        child = os.fork()
        if child == 0:
            _run(one, place)
        status, usage = _wait(child, began + most_seconds)
        said = Path(place, "err").read_text(errors="replace") if Path(place, "err").exists() else ""
        kind = _kind(place, status, said)
        megabytes = max(0, usage.ru_maxrss - before) / 1024
        return Outcome(kind, time.monotonic() - began, megabytes, (said.splitlines() or [""])[-1])


def _run(one: Try, place: str) -> None:
    os.chdir(place)
    with contextlib.suppress(BaseException):
        one.prepare()
    resource.setrlimit(resource.RLIMIT_AS, (24 << 30, 24 << 30))  # a bomb ends here, not the machine
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(name, os.O_CREAT | os.O_WRONLY), number)
    code = 0
    try:
        import_module(f"lstm_readout.commands.{one.command}").main(one.arguments)
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _wait(child: int, until: float) -> tuple[int | None, Any]:
    while time.monotonic() < until:
        found, status, usage = os.wait4(child, os.WNOHANG)
        if found:
            return status, usage
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    return None, os.wait4(child, 0)[2]


def _kind(place: str, status: int | None, said: str) -> str:
    if Path(place, "RAN").exists():
        return "ran code"
    if status is None:
        return "too long"
    if os.WIFSIGNALED(status):
        return "died"
    if "Traceback" in said or "panicked" in said:
        return "traceback"
    if "\x1b" in said or "\x1b" in Path(place, "out").read_text(errors="replace"):
        return "escape code"
    code = os.WEXITSTATUS(status)
    lines = [line for line in said.splitlines() if line.startswith("error: ")]
    return "refused in one line" if code == 2 and len(lines) == 1 else f"exit code {code}"


def main() -> None:
    """Try everything, and print what was not refused in one line, and the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="tries whose name begins with this")
    parser.add_argument("--commands", default=",".join(OF_A_CHECKPOINT), help="that are given the checkpoints")
    parser.add_argument("--seconds", type=float, default=120.0, help="that a try may take")
    options = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["LSTM_READOUT_CACHE"] = tempfile.mkdtemp(prefix="hostile-cache-")
    tries = [*checkpoints(options.commands.split(",")), *run_folders(), *tokenizers(), *vectors(), *data()]
    tries = [one for one in tries if one.name.startswith(options.only)]
    for command in {one.command for one in tries}:
        import_module(f"lstm_readout.commands.{command}")  # before the processes are forked
    counts, slowest, largest = Counter[str](), 0.0, 0.0
    for one in tries:
        kind, seconds, megabytes, said = outcome_of(one, options.seconds)
        counts[kind] += 1
        slowest, largest = max(slowest, seconds), max(largest, megabytes)
        if kind != "refused in one line":
            print(
                f"{kind}: {one.command}, {one.name!r} ({seconds:.1f} s, {megabytes:.0f} MB): {said[:150]!r}", flush=True
            )
    print(f"{len(tries)} tries: " + ", ".join(f"{number} {kind}" for kind, number in counts.most_common()))
    print(f"slowest {slowest:.1f} s, largest {largest:.0f} MB more than the imports")


if __name__ == "__main__":
    main()
