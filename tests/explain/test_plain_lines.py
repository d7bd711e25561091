"""The lines of plain PyTorch run as they stand, and give the model's own logits."""

from __future__ import annotations

import pytest
import torch
from small_models import READOUTS, small_task
from torch import nn
from torch.nn.utils.rnn import pad_packed_sequence

from lstm_readout.explain.plain_pytorch import WIDTH, plain_of
from lstm_readout.explain.trace import sides_of

LENGTHS = [4, 2, 7, 1]
SHAPES = [
    {},
    {"num_layers": 2, "bidirectional": True},
    {"num_layers": 3, "batch_first": True, "bias": False, "dropout": 0.3},
    {"proj_size": 3, "bidirectional": True, "batch_first": True},
    {"cell": "gru", "bidirectional": True},
    {"cell": "rnn", "num_layers": 2},
]


def run(task, batch, weights):
    """Run the three blocks with this model's weights and ids; return the logits."""
    model, sides = task.model, sides_of(task, batch)
    plain = plain_of(model, [side.lengths for side in sides])
    for line in plain.code.splitlines():
        assert len(line) <= WIDTH, line
    exec(plain.code, {})  # as it is copied
    names: dict = {}
    exec(plain.modules, names)
    exec(plain.inputs, names)
    for name, module in weights.items():
        names[name].load_state_dict(module.state_dict())
        names[name].eval()
    made = {name for name, value in names.items() if isinstance(value, nn.Module)}
    assert made == set(weights)
    given = {"text": batch[0]} if len(sides) == 1 else {"source": batch.source, "target": batch.target_inputs}
    for role, ids in given.items():
        name = "token_ids" if role == "text" else f"{role}_ids"
        encoder = model.decoder.encoder if role == "target" else model.encoder
        padded, lengths = pad_packed_sequence(ids, batch_first=encoder.lstm.rnn.batch_first, padding_value=3)
        assert names[name].shape == padded.shape
        assert torch.equal(names[name.replace("token_ids", "lengths").replace("_ids", "_lengths")], lengths)
        names[name] = padded
    with torch.no_grad():
        exec(plain.forward, names)
    return names["logits"]


def padded_logits(packed, batch_first):
    return pad_packed_sequence(packed, batch_first=batch_first)[0]


def real(logits, lengths, batch_first):
    """Return the logits at real steps, row after row."""
    rows = logits if batch_first else logits.transpose(0, 1)
    return torch.cat([row[:length] for row, length in zip(rows, lengths, strict=True)])


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_classifier(shape, readout):
    if readout == "cell" and "cell" in shape:
        return
    task, batch = small_task("classify", LENGTHS, readout=readout, output_dropout=0.2, **shape)
    model = task.model
    weights = {"embedding": model.encoder.embedding, "lstm": model.encoder.lstm.rnn, "head": model.head}
    if readout == "attention":
        weights |= {"projection": model.readout.projection, "query": model.readout.query}
    with torch.no_grad():
        wanted = model(batch.token_ids)
    torch.testing.assert_close(run(task, batch, weights), wanted)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if "bidirectional" not in shape], ids=str)
def test_a_language_model(shape):
    task, batch = small_task("generate", LENGTHS, **shape)
    model, first = task.model, shape.get("batch_first", False)
    weights = {"embedding": model.encoder.embedding, "lstm": model.encoder.lstm.rnn, "head": model.head}
    with torch.no_grad():
        wanted = padded_logits(model(batch.inputs).logits, first)
    logits = run(task, batch, weights)
    torch.testing.assert_close(real(logits, LENGTHS, first), real(wanted, LENGTHS, first))


@pytest.mark.parametrize(
    "shape",
    [
        *SHAPES,
        {"reverse_source": True},
        {"reverse_source": True, "batch_first": True, "cell": "gru"},
        {"encoder": {"num_layers": 3}, "decoder": {"num_layers": 2, "hidden_size": 4}, "bidirectional": True},
        {"encoder": {"cell": "gru"}, "decoder": {"cell": "lstm"}},
        {"encoder": {"cell": "lstm"}, "decoder": {"cell": "rnn"}},
        {"attention": "dot", "batch_first": True},
        {"attention": "general", "bidirectional": True, "reverse_source": True},
        {"attention": "additive", "cell": "gru"},
        {"feed_state": True, "num_layers": 2, "proj_size": 3},
        {"feed_state": True, "batch_first": True, "bidirectional": True},
        {"feed_state": True, "cell": "rnn"},
    ],
    ids=str,
)
def test_a_translator(shape):
    task, batch = small_task("translate", LENGTHS, **shape)
    model, first = task.model, shape.get("batch_first", False)
    weights = {
        "source_embedding": model.encoder.embedding,
        "encoder": model.encoder.lstm.rnn,
        "target_embedding": model.decoder.encoder.embedding,
        "decoder": model.decoder.encoder.lstm.rnn,
        "head": model.decoder.head,
    }
    if model.looks_back:
        named = model.decoder.attention.named_children()
        weights |= {name: part for name, part in named if name != "dropout"}
    for name in ("h", "c"):
        if getattr(model.bridge, name):
            weights[f"bridge_{name}"] = getattr(model.bridge, name)
    with torch.no_grad():
        wanted = padded_logits(model(batch.source, batch.target_inputs).logits, first)
    logits = run(task, batch, weights)
    torch.testing.assert_close(real(logits, LENGTHS[::-1], first), real(wanted, LENGTHS[::-1], first))


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize(
    "head", [{"tied_embeddings": True, "embedding_size": 6}, {"softmax": "adaptive", "cutoffs": [4]}], ids=str
)
def test_every_kind_of_head(head, first):
    task, batch = small_task("generate", LENGTHS, batch_first=first, **head)
    model = task.model
    layer = getattr(model.head, "softmax", model.head)
    weights = {"embedding": model.encoder.embedding, "lstm": model.encoder.lstm.rnn, "head": layer}
    with torch.no_grad():
        wanted = padded_logits(model(batch.inputs).logits, first)
    logits = run(task, batch, weights)
    torch.testing.assert_close(real(logits, LENGTHS, first), real(wanted, LENGTHS, first))

    task, batch = small_task("translate", LENGTHS, batch_first=first, **head)
    told = plain_of(task.model, [LENGTHS, LENGTHS[::-1]])
    assert ("head.weight = target_embedding.weight" in told.modules) == ("tied_embeddings" in head)
    assert ("head.log_prob(" in told.forward) == ("softmax" in head)
    exec(told.code, {})


def test_what_acts_in_training_alone_is_named():
    task, _ = small_task("classify", LENGTHS, output_dropout=0.2, word_dropout=0.1)
    told = plain_of(task.model, [LENGTHS]).modules
    assert "# left out, because they act only in training: output_dropout=0.2, word_dropout=0.1" in told
