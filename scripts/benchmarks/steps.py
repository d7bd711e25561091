"""Whole training steps beside those of tutorials: same corpus, same vocabulary, same model sizes on both sides.

``ours`` is the framework's own parts as in a run: the task's loss, the data module's batches, its optimizer, clipped
gradients, and the allocator's setting. The peers' models are in ``peers.py``, their loops in ``tutorials.py``. Each
side draws its batches before it is timed (drawing takes less than a hundredth of a step, see ``loader_wait_*``), and
repeats them. Units are real tokens; for a translation, the source tokens read and the target tokens predicted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import cycle, islice
from typing import Any, NamedTuple

from torch.nn.utils import clip_grad_norm_

from benchmarks.paired import BATCHES, Result, Row, Side, alternate, ratio
from benchmarks.worker import Worker


class Case(NamedTuple):
    """What both sides share, and the overrides of our side alone."""

    data: Sequence[str]  # overrides: the task, its corpus, tokenizer and batches
    sizes: Mapping[str, float]  # arguments of the peer's model, and keys below model.
    ours_only: Sequence[str]  # overrides: what the peer has built in


CASES = {
    "translate": Case(
        data=(
            *("task=translate", "data=multi30k", "data.batch_size=128"),
            *("tokenizer.lowercase=true", "tokenizer.vocab_size=8000"),
        ),
        sizes={"embedding_size": 256, "hidden_size": 512, "num_layers": 2, "dropout": 0.5},
        ours_only=("model.input_dropout=0.5",),
    ),
    "classify": Case(
        data=(
            *("task=classify", "data=imdb", "data.batch_size=32"),
            *("tokenizer.lowercase=true", "tokenizer.vocab_size=25000", "tokenizer.max_length=400"),
        ),
        sizes={"embedding_size": 128, "hidden_size": 256},
        ours_only=(),
    ),
    "wordlm": Case(
        data=(
            *("task=generate", "data=imdb", "data.max_rows=4000", "data.carry_state=true"),
            *("data.batch_size=20", "data.window=35", "tokenizer.vocab_size=33278"),
        ),
        sizes={"embedding_size": 200, "hidden_size": 200, "num_layers": 2, "dropout": 0.2},
        ours_only=("model.input_dropout=0.2", "model.output_dropout=0.2", "optimizer=sgd"),
    ),
}


def ours(data: Sequence[str], sizes: Mapping[str, float], ours_only: Sequence[str], clip: float) -> Side:
    """Return the framework's training step."""
    from benchmarks.composed import configuration
    from lstm_readout.config.build import build

    model = [f"model.{name}={value}" for name, value in sizes.items()]
    task, module = build(configuration(*data, *model, *ours_only))
    task.train()
    optimizer = task.optimizer(task.parameters())
    batches = cycle(list(islice(module.train_dataloader(), BATCHES)))

    def step() -> int:
        batch = next(batches)
        loss, _ = task.loss(batch, "train")
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(task.parameters(), clip)
        optimizer.step()
        return batch.tokens

    return step


def step_against(name: str, peer: str, clip: float = 1.0, **options: Any) -> Result:
    """Compare our step, with the allocator's setting, with a peer's in a process without it and in one with it.

    Args:
        name: the case.
        peer: a function of ``tutorials.py``.
        clip: largest norm of our gradients; every run uses 1.0.
        options: further arguments of ``peer``.
    """
    case = CASES[name]
    with ExitStack() as stack:
        framework, default, both = (stack.enter_context(Worker(keep_memory=keep)) for keep in (True, False, True))
        arguments = {"data": case.data, "sizes": case.sizes}
        asked = {"side": f"benchmarks.tutorials:{peer}", **arguments, **options}
        runs = {
            "ours": framework.bind("benchmarks.steps:ours", **arguments, ours_only=case.ours_only, clip=clip),
            "peer": default.bind(**asked),
            "peer_with_setting": both.bind(**asked),
        }
        speeds = alternate(runs, seconds=0.7, budget=45)
    with_setting = ratio(speeds, "ours", "peer_with_setting")
    both_more = {"allocator_both": with_setting.ratio, "allocator_both_fastest": with_setting.more["fastest"]}
    return ratio(speeds, "ours", "peer", **both_more)


ROWS = [
    Row(
        id="translate_vs_tutorial",
        measure=partial(step_against, "translate", "translate", teacher_forcing=0.5),
        wanted="at least 6",
        unit="times the stepping tutorial's tokens/s",
        corpora=("multi30k",),
    ),
    Row(
        id="translate_vs_tutorial_tf1",
        measure=partial(step_against, "translate", "translate", teacher_forcing=None),
        wanted="at least 2",
        unit="times the one-call tutorial's tokens/s",
        corpora=("multi30k",),
    ),
    Row(
        id="wordlm_vs_example",
        measure=partial(step_against, "wordlm", "wordlm", clip=0.25),
        wanted="at least 2.2",
        unit="times the example's tokens/s",
        corpora=("imdb",),
    ),
    *(
        Row(
            id=f"classify_vs_{layout}",
            measure=partial(step_against, "classify", "classify", packed=layout == "packed"),
            wanted=f"at least {wanted}",
            unit=f"times the {layout} tutorial's tokens/s",
            corpora=("imdb",),
        )
        for layout, wanted in (("padded", 2.5), ("packed", 8))
    ),
]
