"""Keras on torch: ``Embedding``, ``LSTM`` and ``Dense`` in a row, with and without ``mask_zero``."""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "torch"

from keras import Sequential, layers
from torch import Tensor, nn

from probes.base import VOCABULARY, Reader, main, padded

_PADDING = 0


def build(mask_zero: bool, bidirectional: bool) -> Reader:
    lstm = layers.LSTM(16)
    body = layers.Bidirectional(lstm) if bidirectional else lstm
    model = Sequential([layers.Embedding(VOCABULARY, 12, mask_zero=mask_zero), body, layers.Dense(3)])
    model(padded(_PADDING)[0])  # makes the weights
    return Reader(model, _call, _PADDING)


def _call(model: nn.Module, token_ids: Tensor, lengths: Tensor) -> Tensor:
    return model(token_ids)


if __name__ == "__main__":
    main(
        {
            "mask_zero=True": lambda: build(True, False),
            "mask_zero=True, two directions": lambda: build(True, True),
            "mask_zero=False, the default": lambda: build(False, False),
        }
    )
