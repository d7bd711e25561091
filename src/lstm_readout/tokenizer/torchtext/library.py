"""The name of a torchtext module goes in; the module comes out, or one message that says what is missing."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from lstm_readout.errors import UserError

_INSTALL = 'pip install "lstm-readout[torchtext]"'


def load(module: str, key: str, instead: str) -> Any:
    """Return a module of torchtext.

    Args:
        module: its name, like ``torchtext.vocab``.
        key: the command-line setting that needs it.
        instead: what to use without torchtext.

    Raises:
        UserError: torchtext is not installed, or its compiled part does not load with this torch.
    """
    try:
        import_module("torchtext").disable_torchtext_deprecation_warning()
        return import_module(module)
    except (ImportError, OSError, RuntimeError) as error:  # OSError: built for another torch
        try:
            found = f"torchtext {version('torchtext')}, which does not load here ({_first_line(error)})"
        except PackageNotFoundError:
            found = "no torchtext"
        raise UserError(
            f"{key}: needs torchtext 0.18, whose compiled part loads only with torch 2.3; this environment has "
            f"torch {torch.__version__} and {found}. In an environment of its own: {_INSTALL} (Python 3.10 to 3.12). "
            f"Without torchtext: {instead}."
        ) from error


def _first_line(error: BaseException) -> str:
    text = str(error).strip().partition("\n")[0]
    return text if len(text) <= 120 else f"{text[:117]}..."
