"""Configurations go in; each is killed at random moments and resumed, and how many end in the same weights comes out.

    python scripts/kills.py                       # 12 configurations, 25 kills each: about an hour on two cores
    python scripts/kills.py --only ema,workers --kills 3 --twice

Every run is a process forked from this one, which has imported everything: a run of these tiny models takes a second. A
kill falls at a random moment between the first checkpoint and the end of a run. Before that there is nothing to resume.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer

from lstm_readout.commands.train import main as train

SMALL = ["data.max_rows=150", "data.batch_size=8", "model.hidden_size=8", "model.embedding_size=8", "baselines=off"]
SMALL += ["trainer.max_epochs=3", "doctor=off", "settings=fixed", "model.output_dropout=0.3"]
CLASSIFY, GENERATE = ["task=classify", *SMALL], ["task=generate", *SMALL]
LANGUAGE_MODEL = ["task=generate", "trainer.max_epochs=1", *SMALL[:5], "doctor=off", "settings=fixed"]
STREAMED = ["data=files", "data.path=rows.csv", "data.streaming=true", "data.shuffle_buffer=40"]
CONFIGURATIONS = {
    "classify": CLASSIFY,
    "translate": ["task=translate", *SMALL],
    "generate": GENERATE,
    "stream": [*GENERATE, "data.carry_state=true", "data.window=7"],
    "streaming": [*CLASSIFY, *STREAMED, "scheduler=constant"],
    "workers": [*CLASSIFY, "data.num_workers=2"],
    "ema": [*CLASSIFY, "callbacks=ema", "callbacks.weight_averaging.decay=0.9"],
    "plateau": [*CLASSIFY, "scheduler=plateau", "scheduler.patience=0", "trainer.val_check_interval=5"],
    "one_cycle": [*CLASSIFY, "scheduler=one_cycle", "trainer.accumulate_grad_batches=2"],
    "init_from": [*CLASSIFY, "init_from=language_model", "callbacks=gradual_unfreezing"],
    "mid-epoch": [*CLASSIFY, "callbacks.last.every_n_train_steps=3", "task.layer_lr_decay=0.9"],
    "ddp": [*CLASSIFY, "trainer.devices=2", "trainer.strategy=ddp_fork", "trainer.accelerator=cpu"],
}


def start(arguments: Sequence[str], log: Path, prepare: Callable[[], Any] = lambda: None) -> int:
    """Start a training run in a process of its own; return its number, which is also that of its group."""
    sys.stdout.flush()
    process = os.fork()
    if process:
        return process
    os.setsid()
    with log.open("ab", 0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    code = 1
    try:
        prepare()
        train(list(arguments))
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    finally:
        sys.stdout.flush()
        os._exit(code)


def run(arguments: Sequence[str], log: Path, prepare: Callable[[], Any] = lambda: None) -> int:
    """Train to the end; return the exit code."""
    return os.waitstatus_to_exitcode(os.waitpid(start(arguments, log, prepare), 0)[1])


def kill(arguments: Sequence[str], log: Path, folder: Path, share: float) -> bool:
    """Train, and kill the run after a share of ``whole_seconds``; return whether it was still running."""
    process = start(arguments, log)
    for spent in processor_seconds(process, folder):
        if spent >= share:
            os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return True
    return False


def processor_seconds(process: int, folder: Path) -> Iterator[float]:
    """Yield the processor time of a run since its first checkpoint, until it ends: a busy machine's clock lies."""
    last, began = folder / "checkpoints" / "last.ckpt", None
    before = last.stat().st_ino if last.exists() else None  # a resumed run has one already
    while os.waitpid(process, os.WNOHANG) == (0, 0):
        spent = sum(map(int, Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]))
        if began is None and last.exists() and last.stat().st_ino != before:
            began = spent
        if began is not None:
            yield (spent - began) / os.sysconf("SC_CLK_TCK")
        time.sleep(0.002)


def differs(one: Path, other: Path) -> str | None:
    """Return the first tensor in which two runs' checkpoints differ; None if they are equal to the bit."""
    for name in ("last", "best"):
        first, second = (torch.load(run / f"checkpoints/{name}.ckpt", weights_only=True) for run in (one, other))
        keys = ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "current_model_state")
        for key in keys if name == "last" else keys[:1]:
            if (found := _differs(first.get(key), second.get(key), f"{name}.ckpt {key}")) is not None:
                return found
    return None


def _differs(one: Any, other: Any, path: str) -> str | None:
    if isinstance(one, torch.Tensor):
        return None if torch.equal(one, other) else path
    if isinstance(one, (dict, list, tuple)):
        pairs = one.items() if isinstance(one, dict) else enumerate(one)
        if type(one) is not type(other) or len(one) != len(other):
            return path
        return next((found for key, value in pairs if (found := _differs(value, other[key], f"{path}.{key}"))), None)
    return None if one == other else path


def try_one(name: str, kills: int, *, twice: bool, move: bool, chance: random.Random) -> int:
    """Kill and resume one configuration some times; return how many of the runs ended in the same weights."""
    arguments, log, whole = CONFIGURATIONS[name], Path(f"{name}.log"), Path(name, "whole")
    seconds = training_seconds([*arguments, f"hydra.run.dir={whole}"], log, whole)
    if not (whole / "metrics.json").exists():
        raise SystemExit(f"{name}: the run fails; see {log.absolute()}")
    killed = same = number = 0
    while killed < kills:
        number += 1
        folder, given, parts = Path(name, str(number)), [*arguments, f"hydra.run.dir={name}/{number}"], 0
        for _ in range(2 if twice else 1):
            parts += kill(given, log, folder, chance.uniform(0, 1.1 * seconds / (2 if twice else 1)))
            folder = folder.rename(f"{folder} moved") if move else folder
            given = [f"resume={folder}"]
        code = run(given, log) if parts else 0
        difference = f"exit code {code}" if code else differs(whole, folder) if parts else None
        killed, same = killed + (parts > 0), same + (parts > 0 and difference is None)
        if difference is None:
            shutil.rmtree(folder)
        else:
            print(f"  {name}, run {number}: {difference}; see {log.absolute()}", flush=True)
    return same


def training_seconds(arguments: Sequence[str], log: Path, folder: Path) -> float:
    """Train to the end; return the processor time between the first checkpoint and the last."""
    last, found = folder / "checkpoints" / "last.ckpt", {}
    for spent in processor_seconds(start(arguments, log), folder):
        found.setdefault(last.stat().st_ino, spent)
    return max(found.values(), default=0.0)


def cost_of_checkpoints(task: str) -> tuple[float, float]:
    """Return the seconds of a training run with the default settings, and how many of them went into checkpoints."""
    spent: dict[str, float] = {"fit": 0.0, "save_checkpoint": 0.0}

    def timed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def measure(*arguments: Any, **options: Any) -> Any:
            began = time.perf_counter()
            try:
                return call(*arguments, **options)
            finally:
                spent[name] += time.perf_counter() - began

        return measure

    for name in spent:
        setattr(Trainer, name, timed(name, getattr(Trainer, name)))
    train([f"task={task}", "baselines=off", "doctor=off", "trainer.max_epochs=2", f"hydra.run.dir=cost/{task}"])
    return spent["fit"], spent["save_checkpoint"]


def main() -> None:
    """Try what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=25, help="for each configuration")
    parser.add_argument("--only", default=",".join(CONFIGURATIONS), help="names, with commas")
    parser.add_argument("--twice", action="store_true", help="kill the resumed run as well")
    parser.add_argument("--move", action="store_true", help="rename the run folder before resuming")
    parser.add_argument("--cost", metavar="TASK", help="only measure what checkpoints cost in a run of this task")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", default=None, help="for the runs; by default one that is thrown away")
    options = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    folder = Path(options.folder or tempfile.mkdtemp(prefix="lstm-readout-kills-"))
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    if options.cost:
        seconds, saving = cost_of_checkpoints(options.cost)
        print(f"{saving:.2f} of {seconds:.1f} s, {saving / seconds:.2%}, went into checkpoints")
        return
    _write_rows(Path("rows.csv"))
    names, chance, total = options.only.split(","), random.Random(options.seed), [0, 0]
    if "init_from" in names and not Path("language_model").exists():
        run([*LANGUAGE_MODEL, "hydra.run.dir=language_model"], Path("language_model.log"))
    for name in names:
        same = try_one(name, options.kills, twice=options.twice, move=options.move, chance=chance)
        total = [total[0] + options.kills, total[1] + same]
        print(f"{name:12} {same} of {options.kills} killed runs ended in the same weights", flush=True)
    print(f"{'all':12} {total[1]} of {total[0]}")
    if total[0] == total[1] and options.folder is None:
        shutil.rmtree(folder)


def _write_rows(path: Path) -> None:
    chance, words = random.Random(0), ["good", "bad", "fine", "awful", "film", "plot", "music", "slow"]
    rows = [
        f"{' '.join(chance.choices(words, k=chance.randint(2, 9)))},{chance.randint(0, 1)}" for number in range(150)
    ]
    path.write_text("text,label\n" + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
