"""Whether data keeps up with the LSTM: the wait for batches, their fill, and the memory that a large file takes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks.composed import configuration
from benchmarks.large_files import write_text
from benchmarks.paired import Result, Row
from benchmarks.worker import environment
from lstm_readout.config.build import build

CORPORA = ("imdb", "trec", "multi30k", "tinyshakespeare")
STEPS, SEGMENTS = 8, 5  # steps of a segment
GIGABYTES = 5.0


def waiting(corpus: str, workers: int, *overrides: str, steps: int = STEPS, segments: int = SEGMENTS) -> Result:
    """Return the share of a training step spent waiting for its batch, with the recipe's model."""
    task, data = build(configuration(f"experiment={corpus}", f"data.num_workers={workers}", *overrides))
    optimizer = task.optimizer(task.parameters())
    batches = iter(data.train_dataloader())
    shares = []
    for segment in range(segments + 1):
        waited = 0.0
        began = time.perf_counter()
        for _ in range(steps):
            asked = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - asked
            loss, _ = task.loss(batch, "train")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if segment:  # the first warms up, and starts the workers
            shares.append(waited / (time.perf_counter() - began))
    return Result.of(shares)


def fill(corpus: str) -> Result:
    """Return the share of real tokens if the batches of an epoch were padded."""
    _, data = build(configuration(f"experiment={corpus}"))
    return Result.of([data.report["batches"]["fill"]])


STREAM = """
import sys, time
from benchmarks.composed import configuration
from benchmarks.large_files import mebibytes
from lstm_readout.config.build import build
task, data = build(configuration("task=generate", "data=files", f"data.path={sys.argv[1]}", "data.streaming=true",
                                 "tokenizer.vocab_size=20000", "scheduler=constant"))
began, tokens = time.perf_counter(), 0
for batch in data.train_dataloader():
    tokens += batch.tokens
print(mebibytes("VmHWM") / 2**10, tokens / (time.perf_counter() - began))
"""


def streaming_memory(gigabytes: float = GIGABYTES) -> Result:
    """Return the peak memory of one epoch over a generated text file, read, encoded and batched but not trained on."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.txt"
        write_text(path, gigabytes)
        command = [sys.executable, "-c", STREAM, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment())
    peak, speed = map(float, done.stdout.split()[-2:])
    return Result.of([peak], tokens_per_second=speed, file_gigabytes=gigabytes)


ROWS = [
    *(
        Row(
            id=f"loader_wait_{corpus}_w{workers}",
            measure=partial(waiting, corpus, workers),
            wanted="at most 0.03",
            unit="share of a training step",
            corpora=(corpus,),
        )
        for corpus in CORPORA
        for workers in (0, 2)
    ),
    *(
        Row(
            id=f"fill_{corpus}",
            measure=partial(fill, corpus),
            wanted="at least 0.97",
            unit="real / padded tokens",
            corpora=(corpus,),
        )
        for corpus in ("multi30k", "imdb")
    ),
    Row(id="streaming_memory", measure=streaming_memory, wanted="at most 1.5", unit="GiB at the peak"),
]
