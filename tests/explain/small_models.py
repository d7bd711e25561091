"""Small tasks on random rows, for the tests beside this file."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.utils.rnn import pack_sequence

from lstm_readout.data.batches import ClassifyBatch, GenerateBatch, TranslateBatch
from lstm_readout.models import Classifier, LanguageModel, Seq2Seq
from lstm_readout.tasks import ClassifyTask, GenerateTask, TranslateTask
from lstm_readout.tasks.base import Task
from lstm_readout.tokenizer import TextTokenizer, Vocabulary

WORDS = "a b c d e f g"
READOUTS = ("last", "last_step", "mean", "max", "attention", "concat", "first_layer", "cell")
SIZES: dict[str, Any] = {"embedding_size": 5, "hidden_size": 6}


def small_task(name: str, lengths: list[int], texts: str = WORDS, **model: Any) -> tuple[Task, Any]:
    """Return a task in evaluation mode, and a batch whose rows have these lengths."""
    tokenizer = TextTokenizer.train([texts])
    size, arguments = len(tokenizer), {**SIZES, **model}
    source = packed(lengths, size)
    if name == "classify":
        labels = torch.arange(len(lengths)) % 3
        task = ClassifyTask(
            model=Classifier(vocab_size=size, num_classes=3, **arguments),
            vocabulary=Vocabulary({"text": tokenizer}, ["x", "y", "z"]),
        )
        batch = ClassifyBatch(source, labels)
    elif name == "generate":
        task = GenerateTask(
            model=LanguageModel(vocab_size=size, **arguments), vocabulary=Vocabulary({"text": tokenizer}, [])
        )
        batch = GenerateBatch(source, torch.randint(size, source.data.shape))
    else:
        task = TranslateTask(
            model=Seq2Seq(source_vocab_size=size, target_vocab_size=size, **arguments),
            vocabulary=Vocabulary({"source": tokenizer, "target": tokenizer}, []),
        )
        target = packed(lengths[::-1], size)
        batch = TranslateBatch(source, target, torch.randint(size, target.data.shape), [""] * len(lengths))
    task.eval()
    return task, batch


def packed(lengths: list[int], vocabulary: int):
    """Return random ids of these lengths, packed."""
    return pack_sequence([torch.randint(vocabulary, (length,)) for length in lengths], enforce_sorted=False)
