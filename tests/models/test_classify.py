from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence
from torch.testing import assert_close

from lstm_readout.models import Classifier
from lstm_readout.nn.readout import READOUTS

V, C, E, H = 12, 3, 4, 5
RAW = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
ROWS = [torch.tensor(row) for row in ([3, 4, 3], [5, 3, 4, 6, 3], [7], [8, 9, 10])]
CASES = [("lstm", 0), ("lstm", 2), ("gru", 0), ("rnn", 0)]


@pytest.mark.parametrize("bidirectional", [False, True], ids=["uni", "bi"])
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize(("cell", "proj_size"), CASES)
def test_it_reads_the_top_layer_after_the_last_token_of_each_direction(cell, proj_size, num_layers, bidirectional):
    sizes = {"num_layers": num_layers, "bidirectional": bidirectional}
    projection = {"proj_size": proj_size} if proj_size else {}
    model = Classifier(
        vocab_size=V, num_classes=C, embedding_size=E, hidden_size=H, cell=cell, **sizes, **projection
    ).eval()
    raw = RAW[cell](E, H, **sizes, **projection)
    raw.load_state_dict(model.encoder.lstm.rnn.state_dict())
    expected = []
    for row in ROWS:  # each document alone: no packing, no padding
        output, _ = raw(model.encoder.embedding(row).unsqueeze(1))  # (T, 1, D * O)
        size = proj_size or H
        # forward half after the last token, backward half after the first
        document = torch.cat((output[-1, 0, :size], output[0, 0, size:]))
        expected.append(model.head(document))
    assert_close(model(pack_sequence(ROWS, enforce_sorted=False)), torch.stack(expected), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_tensor_of_whole_documents_gives_one_row_of_logits_each(batch_first):
    model = Classifier(vocab_size=V, num_classes=C, embedding_size=E, hidden_size=H, batch_first=batch_first).eval()
    documents = torch.randint(0, V, (4, 6))  # (B, T)
    logits = model(documents if batch_first else documents.T)
    assert logits.shape == (4, C)
    assert_close(logits, model(pack_sequence(list(documents))))


def test_output_dropout_drops_features_of_the_document_while_training():
    model = Classifier(vocab_size=V, num_classes=C, embedding_size=E, hidden_size=H, output_dropout=1.0)
    documents = pack_sequence(ROWS, enforce_sorted=False)
    assert_close(model(documents), model.head.bias.expand(4, C))
    assert not torch.allclose(model.eval()(documents), model.head.bias.expand(4, C))


def test_its_arguments_build_it_again():
    model = Classifier(vocab_size=V, num_classes=C, embedding_size=E, hidden_size=H, bidirectional=True, cell="gru")
    again = Classifier(**model.arguments)
    again.load_state_dict(model.state_dict())
    documents = pack_sequence(ROWS, enforce_sorted=False)
    assert torch.equal(again.eval()(documents), model.eval()(documents))


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_it_is_built_without_memory_in_the_same_shapes(readout, bidirectional):
    arguments = {"vocab_size": 9, "num_classes": 2, "readout": readout, "bidirectional": bidirectional}
    with torch.device("meta"):
        shapes = {name: weight.shape for name, weight in Classifier(**arguments).state_dict().items()}
    assert shapes == {name: weight.shape for name, weight in Classifier(**arguments).state_dict().items()}
