"""One LSTM on one batch goes in; how ``output``, ``h_n`` and ``c_n`` are related comes out, computed.

Shapes: B rows, T steps, I input_size, L layers, D directions, O = proj_size or hidden_size, H hidden_size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_packed_sequence

from lstm_readout.explain.trace import Side
from lstm_readout.models.translate import Seq2Seq
from lstm_readout.nn.lstm import LSTM, LSTMState
from lstm_readout.nn.packed import as_packed

_TOLERANCE = 1e-5  # relative to the largest value, at least 1: float32, and kernels that sum in another order


@dataclass(frozen=True)
class Identity:
    """One claim, with the largest absolute difference of its two sides."""

    claim: str
    because: str
    difference: float
    wanted: str  # equal | different
    holds: bool
    rows: tuple[float, ...] = ()  # the difference of each row of the batch, if rows differ


class _DenseOutput(NamedTuple):
    """The results of torch's own dense call: time first, whatever ``batch_first`` is."""

    output: Tensor  # (T, B, D * O)
    h_n: Tensor  # (L * D, B, O)
    c_n: Tensor | None  # (L * D, B, H)


@torch.no_grad()
def identities_of(side: Side) -> list[Identity]:
    """Compute every claim on this batch with this model's weights."""
    return list(_identities(side))


@torch.no_grad()
def bridge_identities(model: Seq2Seq, encoder: Side, decoder: Side) -> list[Identity]:
    """Compare what the encoder ends with and what the decoder starts from."""
    first = decoder.first
    assert first is not None
    zeros = dense(decoder.lstm, dense_input(decoder), None).h_n
    claims = []
    if not model.bridge.h:
        sent = [_equal("decoder's h_0 == encoder's h_n", "passed on unchanged", first.h, encoder.result.h_n)]
        if first.c is not None and encoder.result.c_n is not None:
            sent.append(_equal("decoder's c_0 == encoder's c_n", "passed on unchanged", first.c, encoder.result.c_n))
        claims += sent
    else:
        mapped = model.bridge(encoder.result.state)
        because = "one linear map for each layer of the decoder, both directions side by side if there are two"
        claims.append(_equal("decoder's h_0 == tanh(Linear(encoder's h_n))", because, first.h, mapped.h))
    because = "without the encoder's state the decoder knows nothing about the source"
    claims.append(_different("decoder from zeros != decoder from that state", because, zeros, decoder.result.h_n))
    return claims


def _identities(side: Side) -> Iterator[Identity]:
    rnn, lengths, (layers, directions) = side.lstm.rnn, side.lengths, (side.layers, side.directions)
    h_n, c_n = side.result.h_n, side.result.c_n
    output, _ = pad_packed_sequence(as_packed(side.result.output))  # (T, B, D * O)
    batch, size = h_n.shape[1], h_n.shape[2]
    rows = torch.arange(batch)
    last = output[torch.tensor(lengths) - 1, rows]  # (B, D * O) at each row's last real step
    forward, backward = last[:, :size], output[0, :, size:]  # (B, O); backward is empty with one direction
    top = torch.cat((forward, backward), dim=-1)  # (B, D * O)

    if directions == 1:
        yield _equal("output[last] == h_n[-1]", "the top layer's last real step appears in both", last, h_n[-1])
    else:
        yield _equal(
            "output[last], forward half == h_n[-2]",
            "the forward half ends at the last real step",
            forward,
            h_n[-2],
        )
        yield _equal("output[0], backward half == h_n[-1]", "the backward half ends at step 0", backward, h_n[-1])
        if max(lengths) > 1:
            yield _different(
                "output[last] != cat(h_n[-2], h_n[-1])",
                "at the last step the backward half has read one token only",
                last,
                torch.cat((h_n[-2], h_n[-1]), dim=-1),
            )
    if layers > 1:
        lower = h_n.view(layers, directions, batch, size)[:-1]  # (L - 1, D, B, O)
        ends = top.view(batch, directions, size).transpose(0, 1)  # (D, B, O)
        nearest = min(float((layer - ends).abs().max()) for layer in lower)
        name = "h_n[0]" if len(lower) * directions == 1 else f"h_n[0 … {len(lower) * directions - 1}]"
        yield _judge(f"{name} != top layer", "output contains only the top layer", nearest, "different", _scale(top))
    if c_n is not None and not rnn.proj_size:
        yield _different("c_n[-1] != h_n[-1]", "the cell state is not part of output", c_n[-1], h_n[-1])
    yield from _calls(side, output)
    yield from _views(side, output, top)


def _calls(side: Side, output: Tensor) -> Iterator[Identity]:
    """Compare the packed call with a loop over steps, with each row alone, and with an unpacked padded call."""
    lstm, lengths, result = side.lstm, side.lengths, side.result
    vectors = dense_input(side)  # (T, B, I)
    real = torch.arange(len(vectors)).unsqueeze(1) < torch.tensor(lengths)  # (T, B)
    looped = _stepwise(side, vectors)
    if side.directions == 1:
        claim, because = "a loop over steps == one call", "the state passed on is all that a step needs"
        yield _equal(claim, because, looped[real], output[real])
    elif side.steps > 1:
        claim = "a loop over steps != one call"
        yield _different(claim, "in a loop the backward half sees one token at a time", looped[real], output[real])
    alone = [
        dense(
            lstm, vectors[:length, row : row + 1], None if side.first is None else side.first.rows(slice(row, row + 1))
        )
        for row, length in enumerate(lengths)
    ]
    states = torch.cat([one.h_n for one in alone], dim=1)
    steps = torch.cat([one.output[:, 0] for one in alone])  # (tokens, D * O), row after row
    alone_values = torch.cat((states.flatten(), steps.flatten()))
    packed = torch.cat((result.h_n.flatten(), output.transpose(0, 1)[real.T].flatten()))
    yield _equal("packed == each row alone", "packed rows do not affect each other", packed, alone_values)

    padded = dense(lstm, vectors, side.first)
    by_row = tuple((padded.h_n - result.h_n).abs().amax(dim=(0, 2)).tolist())  # (B,)
    if min(lengths) == max(lengths):
        yield _equal("not packed: h_n == packed", "no row of this batch is padded", padded.h_n, result.h_n)
        return
    full = max(d for d, length in zip(by_row, lengths, strict=True) if length == max(lengths))
    short = min(d for d, length in zip(by_row, lengths, strict=True) if length < max(lengths))
    scale = _scale(result.h_n)
    yield Identity(
        "padded, not packed: h_n != packed",
        "a padded row's h_n has read its padding; a row without padding is unchanged",
        max(by_row),
        "different",
        full <= _TOLERANCE * scale < short,
        by_row,
    )
    if side.directions == 1:
        because = "padding comes after the real steps, and this direction reads it last"
        yield _equal("padded, not packed: output at real steps == packed", because, padded.output[real], output[real])
    else:
        because = "the backward half begins with the padding"
        claim = "padded, not packed: output at real steps != packed"
        yield _different(claim, because, padded.output[real], output[real])


def _views(side: Side, output: Tensor, top: Tensor) -> Iterator[Identity]:
    """Split ``h_n`` in right and wrong ways."""
    h_n, layers, directions = side.result.h_n, side.layers, side.directions
    batch, size = h_n.shape[1:]
    ends = top.view(batch, directions, size).transpose(0, 1)  # (D, B, O)
    yield _equal(
        "h_n.view(layers, directions, batch, -1)[-1] == top layer",
        "rows of h_n: layer 0 forward, layer 0 backward, layer 1 forward, …",
        h_n.view(layers, directions, batch, size)[-1],
        ends,
    )
    if directions == 2 and layers > 1:
        wrong = h_n.view(directions, layers, batch, size)[:, -1]
        yield _different("h_n.view(directions, layers, …) mixes them up", "layers come first", wrong, ends)
    if batch > 1 and layers * directions > 1:
        right = h_n.transpose(0, 1).flatten(1)  # (B, L * D * O)
        because = "the batch is the second axis: transpose(0, 1) first, then flatten(1)"
        yield _different("h_n.view(batch, -1) mixes up rows", because, h_n.reshape(batch, -1), right)
    if batch > 1 and len(output) > 1:
        right = output.transpose(0, 1)  # (B, T, D * O)
        given, wanted = ("batch_first", "time, batch") if side.lstm.rnn.batch_first else ("time first", "batch, time")
        mixed = output.reshape(right.shape) if given == "time first" else right.reshape(output.shape)
        correct = right if given == "time first" else output
        because = "view regroups memory; transpose(0, 1) swaps axes"
        yield _different(f"output.view({wanted}, -1) mixes up rows", because, mixed, correct)


def dense_input(side: Side) -> Tensor:
    """Return the embedded tokens, padded with the embedding of id 0: (T, B, I)."""
    ids, _ = pad_packed_sequence(side.token_ids, padding_value=0)  # (T, B)
    return side.encoder.embedding(ids)


def dense(lstm: LSTM, vectors: Tensor, state: LSTMState | None) -> _DenseOutput:
    """Call ``torch.nn.LSTM`` itself on (T, B, I), time first whatever ``batch_first`` is."""
    rnn = lstm.rnn
    first = None if state is None else state.h if state.c is None else (state.h, state.c)
    output, last = rnn(vectors.transpose(0, 1) if rnn.batch_first else vectors, first)
    h_n, c_n = last if lstm.cell == "lstm" else (last, None)
    return _DenseOutput(output.transpose(0, 1) if rnn.batch_first else output, h_n, c_n)


def _stepwise(side: Side, vectors: Tensor) -> Tensor:
    """Call the LSTM once per step and pass the state on: (T, B, I) -> (T, B, D * O)."""
    state, outputs = side.first, []
    for step in vectors.split(1):
        result = dense(side.lstm, step, state)
        state = LSTMState(result.h_n, result.c_n)
        outputs.append(result.output)
    return torch.cat(outputs)


def _equal(claim: str, because: str, left: Tensor, right: Tensor) -> Identity:
    return _judge(claim, because, float((left - right).abs().max()), "equal", _scale(right))


def _different(claim: str, because: str, left: Tensor, right: Tensor) -> Identity:
    return _judge(claim, because, float((left - right).abs().max()), "different", _scale(right))


def _judge(claim: str, because: str, difference: float, wanted: str, scale: float) -> Identity:
    same = difference <= _TOLERANCE * scale
    return Identity(claim, because, difference, wanted, same == (wanted == "equal"))


def _scale(values: Tensor) -> float:
    return max(1.0, float(values.abs().max()))
