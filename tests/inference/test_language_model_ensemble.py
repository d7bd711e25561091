"""Language models that score and write as one: against the mean of the probabilities of each model alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from lstm_readout import TextGenerator
from lstm_readout.errors import UserError
from lstm_readout.inference.decoding import LanguageModelEnsemble, sample_texts
from lstm_readout.models import Classifier, LanguageModel
from lstm_readout.models.checkpoint import hyper_parameters
from lstm_readout.tasks.metrics.perplexity import fresh_loss
from lstm_readout.tasks.metrics.predictions import ScoredRows
from lstm_readout.tokenizer import BOS, EOS, UNK, TextTokenizer, Vocabulary
from lstm_readout.tokenizer.ragged import Ragged

TOKENIZER = TextTokenizer.train(["abcdef"], kind="char", byte_fallback=False)
V = len(TOKENIZER)


def build(seed: int, **options: Any) -> LanguageModel:
    torch.manual_seed(seed)
    model = LanguageModel(vocab_size=V, embedding_size=4, hidden_size=6 + seed, **options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.8)
    return model.eval()


# cells with and without c, and sizes that differ: only the vocabulary has to be the same
MODELS = [build(0), build(1, num_layers=2), build(2, cell="gru")]


def mean_log_probabilities(token_ids: torch.Tensor) -> torch.Tensor:
    """Return the log probabilities after each token of one row, (T, V)."""
    each = [model(token_ids.unsqueeze(1)).logits[:, 0].softmax(-1) for model in MODELS]
    return torch.stack(each).mean(0).log()


@torch.no_grad()
def test_the_loss_is_that_of_the_mean_and_each_state_is_carried():
    ensemble, ids = LanguageModelEnsemble(MODELS).eval(), torch.randint(3, V, (2, 13))
    expected = torch.stack([mean_log_probabilities(row[:-1]) for row in ids])  # (2, 12, V)
    right = expected.gather(2, ids[:, 1:, None]).squeeze(2)  # (2, 12)
    state, losses = None, []
    for part in (slice(0, 5), slice(5, 12)):
        inputs = pack_sequence(list(ids[:, part]))
        targets = pack_sequence(list(ids[:, 1:][:, part])).data
        loss, state = ensemble.loss(inputs, targets, state)
        losses.append(loss)
    torch.testing.assert_close(torch.stack(losses), -torch.stack([right[:, :5].mean(), right[:, 5:].mean()]))
    scored = torch.tensor([4, 5])  # both rows at the third step
    loss, _ = ensemble.loss(pack_sequence(list(ids[:, :-1])), ids[:, 3], scored=scored)
    torch.testing.assert_close(loss, -right[:, 2].mean())


def test_a_fresh_state_is_fresh_for_each_model():
    written = np.random.default_rng(0).integers(3, V, 40).tolist()
    rows, losses = ScoredRows.of(Ragged.from_lists([[*written, EOS]]), stream=False), []
    with torch.no_grad():
        for start in range(0, 41, 7):
            inputs, targets = (torch.tensor(ids[start : start + 7], dtype=torch.int64) for ids in rows[:2])
            losses += mean_log_probabilities(inputs)[torch.arange(len(targets)), targets].tolist()
    found = fresh_loss(LanguageModelEnsemble(MODELS), rows, 7, torch.device("cpu"))
    assert found == pytest.approx(-np.mean(losses), rel=1e-5)


@torch.no_grad()
def test_it_writes_the_most_probable_token_of_the_mean():
    prefixes = [[4, 5], [], [6, 3, 7, 4]]
    found = sample_texts(LanguageModelEnsemble(MODELS), prefixes, max_length=8, temperature=0.0)
    for prefix, continuation in zip(prefixes, found, strict=True):
        ids: list[int] = []
        while len(ids) < 8:
            scores = mean_log_probabilities(torch.tensor([BOS, *prefix, *ids]))[-1]
            scores[[UNK, BOS]] = -math.inf
            if int(scores.argmax()) == EOS:
                break
            ids.append(int(scores.argmax()))
        assert continuation == ids


def saved(folder: Path, model: LanguageModel | Classifier, vocabulary: Vocabulary, task: str = "generate") -> str:
    weights = {f"model.{key}": value for key, value in model.state_dict().items()}
    path = folder / f"{len(list(folder.iterdir()))}.ckpt"
    values = hyper_parameters(task, model.arguments, vocabulary, {})
    torch.save({"state_dict": weights, "hyper_parameters": values}, path)
    return str(path)


def test_an_ensemble_of_checkpoints(tmp_path):
    vocabulary = Vocabulary({"text": TOKENIZER}, [])
    paths = [saved(tmp_path, model, vocabulary) for model in MODELS]
    expected = TextGenerator(LanguageModelEnsemble(MODELS), vocabulary, max_tokens=9)(["abc", "f"])
    assert TextGenerator.load(paths[0], ensemble=paths[1:], max_tokens=9)(["abc", "f"]) == expected
    other = Vocabulary({"text": TextTokenizer.train(["fedcbafed"], kind="char", byte_fallback=False)}, [])
    with pytest.raises(UserError, match=r"3\.ckpt' has a different text vocabulary from the first checkpoint"):
        TextGenerator.load(paths[0], ensemble=[saved(tmp_path, build(3), other)])
    with pytest.raises(UserError, match="int8=true: an ensemble works in float"):
        TextGenerator.load(paths[0], ensemble=paths[1:], int8=True)
    with pytest.raises(UserError, match="ensemble: a Classifier cannot be combined with others"):
        TextGenerator.members(Classifier(vocab_size=V, num_classes=2), vocabulary, paths, LanguageModel)
