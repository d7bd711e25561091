"""Documents go in, one row of class scores each comes out: the classifier reads ``h_n[-1]``.

``h_n[-1]`` is the top layer after the last real token: one vector for one document. With two directions
``h_n[-1]`` is the backward half alone (after the *first* token, for it reads from the end), so both halves are read.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from typing_extensions import Unpack

from lstm_readout.nn.encoder import Encoder, EncoderArguments
from lstm_readout.nn.readout import Readout, ReadoutName


class Classifier(nn.Module):
    """An LSTM encoder and a linear layer on its last hidden state.

    Args:
        vocab_size: number of token ids.
        num_classes: C, number of labels.
        readout: what is read, see ``Readout``; ``last`` is h_n[-1], both halves of two directions.
        output_dropout: probability for each feature of what is read from the LSTM.
        encoder: the arguments of ``Encoder``.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        num_classes: int,
        readout: ReadoutName = "last",
        output_dropout: float = 0.0,
        **encoder: Unpack[EncoderArguments],
    ) -> None:
        super().__init__()
        self.arguments = {
            "vocab_size": vocab_size,
            "num_classes": num_classes,
            "readout": readout,
            "output_dropout": output_dropout,
            **encoder,
        }
        self.encoder = Encoder(vocab_size=vocab_size, **encoder)
        self.dropout = nn.Dropout(output_dropout)
        self.readout = Readout(readout, self.encoder.lstm)
        self.head = nn.Linear(self.readout.size, num_classes)

    def forward(self, token_ids: Tensor | PackedSequence, perturbation: Tensor | None = None) -> Tensor:
        """Return logits (B, C) of whole documents; ragged ones come packed, so that no row reads padding.

        ``perturbation``: see ``Encoder.forward``.
        """
        lstm = self.encoder(token_ids, perturbation=perturbation)
        document = self.readout(lstm)  # lstm.h_n[-1]: (B, D * O)
        return self.head(self.dropout(document))
