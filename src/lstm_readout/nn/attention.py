"""What a decoder reads from its source at each step: its ``output`` and the encoder's go in, one vector comes out.

Shapes: B rows of the memory, S source steps, M width of the encoder's output, O width of the decoder's, Q of queries
and keys, N tokens of the decoder, any number of them from each row.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils.checkpoint import checkpoint

from lstm_readout.errors import UserError, did_you_mean
from lstm_readout.nn.lstm import LSTMState
from lstm_readout.nn.packed import row_of_token

AttentionName = Literal["none", "dot", "general", "additive"]
MOST_SUMS = 2**24  # 64 MiB in float32 of queries added to keys at a time


class Memory(NamedTuple):
    """The encoder's ``output`` at the real steps of each source."""

    values: Tensor  # (B, S, M), zeros past a source's end
    keys: Tensor  # (B, S, Q), what queries are compared with
    real: Tensor  # (B, S) bool

    def rows(self, index: Tensor) -> Memory:
        """Return the memory of the given rows."""
        return Memory(*(part.index_select(0, index) for part in self))

    def to(self, dtype: torch.dtype) -> Memory:
        """Return the same numbers in another precision."""
        return Memory(self.values.to(dtype), self.keys.to(dtype), self.real)

    def detach(self) -> Memory:
        """Return the same numbers without their graph."""
        return Memory(self.values.detach(), self.keys.detach(), self.real)


class Grid(NamedTuple):
    """The places of N tokens in a block of (rows, width): those of one row of the memory side by side."""

    places: Tensor  # (N,) of rows * width
    rows: int
    width: int

    def spread(self, tokens: Tensor) -> Tensor:
        """Put tokens in their places, zeros elsewhere: (N, F) -> (rows, width, F)."""
        block = tokens.new_zeros(self.rows * self.width, tokens.shape[1])
        return block.index_copy(0, self.places, tokens).view(self.rows, self.width, -1)

    def gather(self, block: Tensor) -> Tensor:
        """Return what is in the places of the tokens: (rows, width, F) -> (N, F)."""
        return block.flatten(0, 1).index_select(0, self.places)


class Attention(nn.Module):
    """A weighted mean of the encoder's ``output``, joined with the decoder's: ``h~ = tanh(W_c [c_t; h_t])``.

    Luong, Pham and Manning 2015, "Effective Approaches to Attention-based Neural Machine Translation", section 3.1 and
    equation 5. A softmax over the real steps of the source turns the scores of the decoder's output h_t into weights:

    ``dot``: ``h_t . m_s``. ``general``: ``h_t . W m_s``. ``additive``: ``v . tanh(W h_t + U m_s)``, the score of
    Bahdanau, Cho and Bengio 2015, "Neural Machine Translation by Jointly Learning to Align and Translate". They score
    the previous step's state; here it is this step's output, as for the others.

    Args:
        name: ``dot``, ``general`` or ``additive``.
        query_size: O, width of the decoder's output.
        memory_size: M, width of the encoder's.

    Raises:
        UserError: for an unknown name, or ``dot`` where O is not M.
    """

    def __init__(self, name: AttentionName, query_size: int, memory_size: int) -> None:
        super().__init__()
        check_attention(name)
        if name == "dot" and query_size != memory_size:
            raise UserError(
                f"model.attention=dot multiplies the output of both sides, but their widths differ: {memory_size} for "
                f"the encoder (its directions side by side), {query_size} for the decoder. Set "
                "model.attention=general, which maps one to the other."
            )
        self.name: AttentionName = name
        additive = name == "additive"
        self.key = None if name == "dot" else nn.Linear(memory_size, query_size, bias=False)
        self.query = nn.Linear(query_size, query_size, bias=False) if additive else None
        self.score = nn.Linear(query_size, 1, bias=False) if additive else None
        self.combine = nn.Linear(memory_size + query_size, query_size, bias=False)

    def remember(self, _: LSTMState, output: PackedSequence) -> Memory:
        """Lay out the encoder's packed output, (tokens, M), once for all steps of the decoder."""
        grid = grid_of_packed(output)
        values = grid.spread(output.data)
        keys = values if self.key is None else grid.spread(self.key(output.data))
        real = torch.zeros(grid.rows * grid.width, dtype=torch.bool, device=values.device)
        return Memory(values, keys, real.index_fill(0, grid.places, True).view(values.shape[:2]))

    def forward(self, output: Tensor, grid: Grid, memory: Memory) -> Tensor:
        """Read the memory from each token of the decoder: (N, O) -> (N, O)."""
        context = torch.bmm(self.weights(output, grid, memory), memory.values)  # (B, width, M)
        return torch.tanh(self.combine(torch.cat((grid.gather(context), output), dim=-1)))

    def weights(self, output: Tensor, grid: Grid, memory: Memory) -> Tensor:
        """Return how much of its attention each token gives to each source step: (N, O) -> (B, width, S)."""
        queries = grid.spread(output if self.query is None else self.query(output))  # (B, width, Q)
        if self.score is None:
            scores = torch.bmm(queries, memory.keys.transpose(1, 2))
        else:
            scores = _additive_scores(self.score, queries, memory.keys)
        return scores.masked_fill(~memory.real.unsqueeze(1), -torch.inf).softmax(-1)


def _additive_scores(score: nn.Linear, queries: Tensor, keys: Tensor) -> Tensor:
    """Return additive scores, (B, width, S), with ``MOST_SUMS`` sums in memory at a time, or those of one step."""
    blocks = queries.split(max(1, MOST_SUMS // keys.numel()), dim=1)
    if len(blocks) == 1 or not torch.is_grad_enabled():
        return torch.cat([_additive(score, block, keys) for block in blocks], dim=1)
    # The sums are recomputed in the backward pass instead of stored
    scores = [_recomputed(score, block, keys) for block in blocks]
    return torch.cat(scores, dim=1)


def _additive(score: nn.Linear, queries: Tensor, keys: Tensor) -> Tensor:
    return score(torch.tanh(queries.unsqueeze(2) + keys.unsqueeze(1))).squeeze(-1)


def _recomputed(score: nn.Linear, queries: Tensor, keys: Tensor) -> Tensor:
    sums: Any = checkpoint(_additive, score, queries, keys, use_reentrant=False, preserve_rng_state=False)
    return sums


def check_attention(name: str) -> None:
    """Raise ``UserError`` for a name that is not in ``AttentionName``."""
    if name not in get_args(AttentionName):
        raise UserError(f"attention: there is no '{name}'. {did_you_mean(str(name), get_args(AttentionName))}")


def grid_of_packed(packed: PackedSequence) -> Grid:
    """Return the places of packed tokens in (B, T), rows in the order of the batch."""
    sizes = packed.batch_sizes.to(packed.data.device, non_blocking=True)
    number, steps = len(packed.data), torch.arange(len(sizes), device=sizes.device)
    step, row = steps.repeat_interleave(sizes, output_size=number), row_of_token(packed)  # (N,)
    if packed.sorted_indices is not None:
        row = packed.sorted_indices[row]
    return Grid(row * len(sizes) + step, int(packed.batch_sizes[0]), len(sizes))


def grid_of_rows(rows: Tensor, number: int) -> Grid:
    """Return a grid for tokens of the given ``rows`` out of ``number``, (N,): several of one row, or none."""
    order = rows.argsort(stable=True)
    counts = rows.bincount(minlength=number)
    width = int(counts.max())
    first = counts.cumsum(0) - counts
    column = torch.empty_like(rows)
    column[order] = torch.arange(len(rows), device=rows.device) - first[rows[order]]
    return Grid(rows * width + column, number, width)
