"""What one trained model knows: a checkpoint and its data go in; tables and curves of what its state contains come out.

A probe returns ``{"tables": {title: (heads, rows)}, "curves": {file name: {...}}}`` in plain values.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lstm_readout.compare.probes.classify import accuracy_of_prefixes
from lstm_readout.compare.probes.generate import worth_of_history
from lstm_readout.compare.probes.translate import edited_state
from lstm_readout.data.module import TextDataModule

PROBES: dict[str, Callable[[Path, TextDataModule, int], dict[str, Any]]] = {
    "classify": accuracy_of_prefixes,
    "translate": edited_state,
    "generate": worth_of_history,
}
