"""Documents go in, one row of class scores per document comes out: the classifier reads ``h_n[-1]``.

``h_n[-1]`` is the top layer after the last real token: one vector for one document. With two directions
``h_n[-1]`` is the backward half alone (after the *first* token: it reads from the end), so both halves are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from typing_extensions import Unpack

from lstm_readout.nn.dropout_linear import DropoutLinear
from lstm_readout.nn.encoder import Encoder, EncoderArguments
from lstm_readout.nn.readout import READOUTS, Last, Readout, build_readout, readout_size


class Classifier(nn.Module):
    """An LSTM encoder and a linear layer on its last hidden state.

    Args:
        vocab_size: number of token ids.
        num_classes: C, number of labels.
        readout: what is read, a key of ``readouts``; ``last`` is h_n[-1], both halves of two directions.
        output_dropout: probability for each feature that the linear layer reads.
        encoder: the arguments of ``Encoder``.
    """

    readouts: ClassVar[Mapping[str, type[Readout]]] = READOUTS  # a subclass may add its own

    def __init__(
        self,
        *,
        vocab_size: int,
        num_classes: int,
        readout: str = "last",
        output_dropout: float = 0.0,
        **encoder: Unpack[EncoderArguments],
    ) -> None:
        super().__init__()
        own = {"vocab_size": vocab_size, "num_classes": num_classes, "readout": readout}
        self.arguments = {**own, "output_dropout": output_dropout, **encoder}
        self.encoder = Encoder(vocab_size=vocab_size, **encoder)
        self.readout = build_readout(readout, self.encoder.lstm, self.readouts)
        self.reads_one_state = type(self.readout) is Last and self.readout.directions == 1
        size = readout_size(self.readout, self.encoder.lstm)
        self.head = DropoutLinear(size, num_classes, output_dropout)

    def forward(self, token_ids: Tensor | PackedSequence, perturbation: Tensor | None = None) -> Tensor:
        """Return logits (B, C) of whole documents; ragged ones come packed, so that no row reads padding.

        ``perturbation``: see ``Encoder.forward``.
        """
        lstm = self.encoder(token_ids, perturbation=perturbation)
        if not self.reads_one_state:  # two directions, or another readout
            return self.head(self.readout(lstm))
        return self.head(lstm.h_n[-1])

    @classmethod
    def choices(cls) -> dict[str, Iterable[str]]:
        """Return the valid values of an argument that is a name: a configuration is checked against them."""
        return {"readout": cls.readouts}
