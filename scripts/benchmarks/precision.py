"""Does bfloat16 cost quality? Each corpus' small model, trained in both precisions on the same batches.

    LSTM_READOUT_DATA=FOLDER python scripts/benchmarks/precision.py [trec tinyshakespeare multi30k imdb] [--seeds 0,1]

Prints a table with the validation loss in nats of ``32-true`` and ``bf16-mixed`` after the same steps, for each seed.
The two runs of a seed start from the same weights and read the same batches in the same order. The loss also differs
between two seeds: compare the difference between the precisions with that.

Where the processor has no LSTM in bfloat16, its numbers are computed from float32 products of operands rounded to
bfloat16, and their result is rounded again, as the instructions do. That says nothing about speed.
"""

from __future__ import annotations

import argparse
import contextlib
import warnings
from collections.abc import Iterator

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from benchmarks.composed import configuration
from lstm_readout.config.build import build
from lstm_readout.training.allocator import keep_freed_memory
from lstm_readout.training.trainer import has_bfloat16

SMALL = ("model.embedding_size=48", "model.hidden_size=48")
RECIPES = {  # corpus -> steps, and what is reduced
    "trec": (600, ("data.batch_size=32", *SMALL)),
    "tinyshakespeare": (300, ("data.batch_size=16", "data.window=32", "data.max_rows=4000", *SMALL)),
    "multi30k": (200, ("data.batch_size=16", "data.max_rows=3000", "tokenizer.vocab_size=1000", *SMALL)),
    "imdb": (200, ("data.batch_size=16", "data.max_rows=2000", "tokenizer.max_length=60", *SMALL)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", nargs="*", default=list(RECIPES), help=", ".join(RECIPES))
    parser.add_argument("--seeds", default="0,1")
    arguments = parser.parse_args()
    keep_freed_memory()
    table = Table("corpus", "seed", "steps", "32-true", "bf16-mixed", "difference")
    for corpus in arguments.corpora:
        for seed in map(int, arguments.seeds.split(",")):
            single, half = (validation_loss(corpus, seed, bfloat16=bfloat16) for bfloat16 in (False, True))
            row = (corpus, str(seed), str(RECIPES[corpus][0]), f"{single:.4f}", f"{half:.4f}", f"{half - single:+.4f}")
            print(*row, flush=True)
            table.add_row(*row)
    Console().print(table)


def validation_loss(corpus: str, seed: int, *, bfloat16: bool) -> float:
    """Train a corpus' model for its steps and return the loss on its validation split."""
    steps, overrides = RECIPES[corpus]
    task, data = build(configuration(f"experiment={corpus}", f"seed={seed}", *overrides))
    optimizer = task.optimizer(task.parameters())
    computing = bfloat16_products() if bfloat16 and not has_bfloat16("cpu") else contextlib.nullcontext()
    with computing, torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16, cache_enabled=False):
        done = 0
        while done < steps:
            for batch in data.train_dataloader():
                loss, _ = task.loss(batch, "train")
                optimizer.zero_grad()
                with torch.autocast("cpu", enabled=False):
                    loss.backward()
                clip_grad_norm_(task.parameters(), 1.0)
                optimizer.step()
                done += 1
                if done == steps:
                    break
        task.eval()
        total, number = 0.0, 0
        with torch.no_grad():
            for batch in data.val_dataloader():
                loss, predictions = task.loss(batch, "val")
                total, number = total + float(loss) * predictions, number + predictions
    return total / number


@contextlib.contextmanager
def bfloat16_products() -> Iterator[None]:
    """Compute the products of bfloat16 matrices from float32, and the LSTM from such products alone."""
    library = torch.library.Library("aten", "IMPL")  # its kernels are removed with it

    def product(a: Tensor, b: Tensor) -> Tensor:
        return torch.bmm(a.float()[None], b.float()[None])[0]  # bmm, because mm is the one being replaced

    def mm(a: Tensor, b: Tensor) -> Tensor:
        return product(a, b).to(a.dtype)

    def addmm(bias: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
        return torch.add(product(a, b) * alpha, bias, alpha=beta).to(a.dtype)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the replaced kernel
        library.impl("mm", mm, "CPU")
        library.impl("addmm", addmm, "CPU")
        torch.backends.mkldnn.set_flags(False)
        yield
    torch.backends.mkldnn.set_flags(True)
    library._destroy()


if __name__ == "__main__":
    main()
