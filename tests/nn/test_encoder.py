from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_sequence, unpack_sequence
from torch.testing import assert_close

from lstm_readout.config.check import check_targets
from lstm_readout.config.signature import parameters_of
from lstm_readout.errors import UserError
from lstm_readout.models import Encoder
from lstm_readout.nn.encoder import EncoderArguments
from lstm_readout.nn.lstm import LSTM, LSTMArguments, LSTMOutput

CONFIGS = Path(__file__).parents[2] / "configs"
V, E, H = 12, 40, 5
ROWS = [torch.tensor(row) for row in ([3, 4, 3], [5, 3, 4, 6, 3], [7])]


def build(**arguments: Any) -> Encoder:
    return Encoder(vocab_size=V, embedding_size=E, hidden_size=H, **arguments)


def what_the_lstm_reads(encoder: Encoder, token_ids: Tensor | PackedSequence) -> Any:
    """Return the input of the encoder's LSTM."""
    seen = []
    with encoder.lstm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0])):
        encoder(token_ids)
    return seen[0]


@pytest.mark.parametrize("batch_first", [False, True])
def test_packed_and_dense_read_the_same_vectors(batch_first):
    encoder = build(batch_first=batch_first, num_layers=2, bidirectional=True)
    packed: LSTMOutput = encoder(pack_sequence(ROWS, enforce_sorted=False))
    for i, (row, ours) in enumerate(zip(ROWS, unpack_sequence(packed.output), strict=True)):
        alone = encoder(row.unsqueeze(0 if batch_first else 1))
        assert_close(ours, alone.output.squeeze(0 if batch_first else 1))
        assert_close((packed.h_n[:, i : i + 1], packed.c_n[:, i : i + 1]), tuple(alone.state))


def test_word_dropout_leaves_a_word_out_wherever_it_stands():
    encoder = build(word_dropout=0.5)
    rows = unpack_sequence(what_the_lstm_reads(encoder, pack_sequence(ROWS, enforce_sorted=False)))
    fates: dict[int, set[bool]] = {}
    for ids, vectors in zip(ROWS, rows, strict=True):
        for token_id, vector in zip(ids.tolist(), vectors, strict=True):
            fates.setdefault(token_id, set()).add(bool(vector.any()))
            if vector.any():
                assert_close(vector, encoder.embedding.weight[token_id] / 0.5)
    assert all(len(fate) == 1 for fate in fates.values())
    assert {True} in fates.values()
    assert {False} in fates.values()


def test_word_dropout_leaves_its_share_of_the_words_out():
    encoder = Encoder(vocab_size=5000, embedding_size=2, hidden_size=1, word_dropout=0.2)
    vectors = what_the_lstm_reads(encoder, torch.arange(5000).view(1, -1))
    assert 0.77 < vectors.any(-1).float().mean() < 0.83  # 5 standard deviations


@pytest.mark.parametrize("form", ["packed", "dense", "batch_first"])
def test_input_dropout_is_one_mask_a_row_for_all_of_its_steps(form):
    encoder = build(input_dropout=0.4, batch_first=form == "batch_first")
    rows = [torch.randint(3, V, (length,)) for length in ([6, 9, 4] if form == "packed" else [6, 6, 6])]
    if form == "packed":
        read = unpack_sequence(what_the_lstm_reads(encoder, pack_sequence(rows, enforce_sorted=False)))
    else:
        axis = 0 if form == "batch_first" else 1
        read = what_the_lstm_reads(encoder, torch.stack(rows, axis)).unbind(axis)
    masks = []
    for ids, vectors in zip(rows, read, strict=True):
        mask = vectors / encoder.embedding(ids)  # (T, E)
        assert_close(mask, mask[:1].expand_as(mask))
        assert_close(mask[0][mask[0] != 0], torch.full((int((mask[0] != 0).sum()),), 1 / 0.6))
        masks.append(mask[0])
    assert not torch.equal(masks[0], masks[1])  # each row has its own
    dropped = (torch.stack(masks) == 0).float().mean()  # of 120 features
    assert 0.2 < dropped < 0.6


def test_dropouts_are_off_in_eval_mode():
    encoder = build(word_dropout=0.5, input_dropout=0.5).eval()
    assert_close(what_the_lstm_reads(encoder, ROWS[1].unsqueeze(1))[:, 0], encoder.embedding(ROWS[1]))


@pytest.mark.parametrize("name", ["word_dropout", "input_dropout"])
@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5])
def test_a_rate_out_of_range_is_refused(name, rate):
    with pytest.raises(UserError, match=f"{name}: wanted 0 or more and less than 1, got {rate}"):
        build(**{name: rate})


def arguments_of(function):
    """Return the keyword arguments of a function and their kinds, without what its TypedDict brings."""
    hints = get_type_hints(function)
    parameters = inspect.signature(function).parameters.values()
    return {p.name: hints[p.name] for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}


def test_the_typed_dicts_say_what_the_constructors_take():
    of_lstm, of_encoder = arguments_of(LSTM.__init__), arguments_of(Encoder.__init__)
    assert get_type_hints(LSTMArguments) == of_lstm
    assert get_type_hints(EncoderArguments) == {k: v for k, v in of_encoder.items() if k != "vocab_size"} | of_lstm
    assert parameters_of("lstm_readout.nn.encoder.Encoder").kinds == of_encoder | of_lstm
    keys = set(OmegaConf.load(CONFIGS / "model" / "lstm.yaml")) - {"_target_"}
    assert keys == (of_encoder | of_lstm).keys() - {"vocab_size"}


@pytest.mark.parametrize(
    "target", ["models.Classifier", "models.LanguageModel", "models.Seq2Seq", "nn.encoder.Encoder"]
)
def test_an_option_of_the_lstm_is_checked_wherever_it_is_passed_on(target):
    model = {"_target_": f"lstm_readout.{target}", "num_leyers": 2, "cell": "lstn", "bidirectional": "yes"}
    with pytest.raises(UserError) as error:
        check_targets(OmegaConf.create({"model": model}))
    name = target.rpartition(".")[2]
    unknown, cell, switch = str(error.value).splitlines()
    assert unknown.startswith(f"model.num_leyers: {name} takes no 'num_leyers'. Did you mean 'num_layers'? Valid: ")
    assert cell == "model.cell: got 'lstn'. Did you mean 'lstm'? Valid: gru, lstm, rnn."
    assert switch == "model.bidirectional: wanted bool, got 'yes' (str). Write true or false."
