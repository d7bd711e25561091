"""How thoroughly to measure: a GPU or a rehearsal goes in; sizes, seconds and the overrides of a recipe come out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gpu_checks.device import Device

# The four of the README's results that have a recipe for a GPU, and what plain PyTorch lacks of each
RECIPES = {
    "imdb": "classify",
    "multi30k": "translate",
    "multi30k_attention": "translate",
    "tinyshakespeare": "generate",
}
_SAME_WORK = ("model.weight_drop=0", "model.word_dropout=0", "model.locked_dropout=false")
_SAME_WORK_OF = {"classify": ("task.adversarial=0",), "generate": ("task.drop_state=0",), "translate": ()}
_TINY = ("model.embedding_size=16", "model.hidden_size=16", "data.batch_size=8", "data.cache=false")
_TINY_OF = {
    "classify": ("tokenizer.max_length=40",),
    "generate": ("data.window=16",),
    "translate": ("tokenizer.vocab_size=300", "model.encoder.hidden_size=16"),
}


@dataclass(frozen=True)
class Setting:
    """What is measured on.

    Args:
        device: a GPU, or the processor.
        rehearsal: tiny models and moments instead of seconds: does every part run?
        generated: whether the corpora are generated ones.
    """

    device: Device
    rehearsal: bool
    generated: bool

    @property
    def batches(self) -> int:
        """Batches that a side repeats."""
        return 3 if self.rehearsal else 8

    @property
    def slice(self) -> float:
        """Seconds of one measurement of a side."""
        return 0.0 if self.rehearsal else 0.5

    @property
    def moment(self) -> float:
        """Seconds of one measurement of a single operation."""
        return 0.001 if self.rehearsal else 0.03

    @property
    def untimed(self) -> int:
        """Steps of a run before anything about it is measured."""
        return 1 if self.rehearsal else 20

    @property
    def timed(self) -> int:
        """Steps of a run that are measured."""
        return 1 if self.rehearsal else 20

    @property
    def most_steps(self) -> int:
        """Steps of a run, however many its seconds allow."""
        return 4 if self.rehearsal else 10**9

    def overrides(self, recipe: str, *, same_work: bool = False) -> Sequence[str]:
        """Return the words after ``python train.py``.

        Args:
            recipe: a key of ``RECIPES``.
            same_work: leave out what the plain loops lack.
        """
        task = RECIPES[recipe]
        accelerator = "gpu" if self.device.is_cuda else "cpu"
        words = [f"experiment={recipe}_gpu", "doctor=off", f"trainer.accelerator={accelerator}"]
        words += [*_TINY, *_TINY_OF[task]] if self.rehearsal else []
        words += ["data.cache=false"] if self.generated and not self.rehearsal else []
        return words + ([*_SAME_WORK, *_SAME_WORK_OF[task]] if same_work else [])
