"""A trained language model and the parts of another model go in; its embedding and LSTM initialise the parts, and
their coverage of the vocabulary comes out (Dai and Le 2015, "Semi-supervised Sequence Learning"; Howard and Ruder 2018,
"Universal Language Model Fine-tuning for Text Classification").

Shapes: V vocabulary size, E embedding size, H hidden size, O output size.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lstm_readout.errors import UserError
from lstm_readout.models.checkpoint import Checkpoint, read_checkpoint
from lstm_readout.models.generate import LanguageModel
from lstm_readout.models.pretrained.vectors import MOST_NAMED, Coverage, Place, coverage_of
from lstm_readout.models.rebuild import check_fits
from lstm_readout.nn.encoder import Encoder
from lstm_readout.tokenizer import SPECIAL_TOKENS, TextTokenizer
from lstm_readout.tokenizer.text_tokenizer import Keep

log = logging.getLogger(__name__)

_GATES = {"lstm": 4, "gru": 3, "rnn": 1}


class Part(NamedTuple):
    """What takes a language model's weights."""

    encoder: Encoder
    place: Place  # its embedding, the text of each id, and their counts
    key: str = "model"  # configuration key above its sizes
    head: nn.Linear | None = None  # scores the same vocabulary, so it takes the rows of the language model's head
    reverse: bool = False  # whether its tokenizer reverses texts


def language_model_file(path: str | Path) -> Path:
    """Return the checkpoint that ``init_from`` names: a file, or the best one of a run folder."""
    path = Path(path).expanduser()
    return path / "checkpoints" / "best.ckpt" if path.is_dir() else path


def _read_language_model(path: str | Path) -> Checkpoint:
    """Read the language model of a run folder or a checkpoint.

    Raises:
        UserError: there is none, or it was trained for another task.
    """
    try:
        checkpoint = read_checkpoint(language_model_file(path), "generate")
        check_fits(checkpoint, LanguageModel)
    except UserError as error:
        raise UserError(f"init_from: {str(error).removeprefix('checkpoint: ')}") from error
    return checkpoint


def tokenizer_of(
    texts: Iterable[str] = (), *, path: str, max_length: int | None = None, keep: Keep = "start"
) -> TextTokenizer:
    """Return the tokenizer of a language model, with a length limit of its own.

    Args:
        texts: not read; every function that builds a tokenizer is called with the training texts.
        path: a run folder or a checkpoint of ``task=generate``.
        max_length, keep: see ``TextTokenizer``.
    """
    tokenizer = _read_language_model(path).vocabulary.tokenizers["text"]
    return TextTokenizer.from_dict(tokenizer.to_dict() | {"max_length": max_length, "keep": keep})


def move(path: str | Path, parts: Mapping[str, Part]) -> dict[str, Coverage]:
    """Initialise parts of a model from the weights of a language model.

    Embedding rows are matched by the text of their token, unchanged or else in lower case; a token that the language
    model lacks starts at the mean of those that it knows (Howard and Ruder 2018). The LSTM's weights are copied. With
    two directions the forward one takes them, and weights of features that the language model never had (the backward
    half below a layer) start at zero: the forward half of ``output`` is the language model's.

    Args:
        path: a run folder or a checkpoint of ``task=generate``.
        parts: text role -> what is filled.

    Returns:
        Role -> what the language model knows of its vocabulary.

    Raises:
        UserError: the file is missing, the language model reads in the other direction, sizes differ (all are named),
            or no token is shared. The parts are then unchanged.
    """
    checkpoint = _read_language_model(path)
    file = language_model_file(path)
    prefix = "encoder."
    weights = {name[len(prefix) :]: value for name, value in checkpoint.weights.items() if name.startswith(prefix)}
    cell = checkpoint.model.get("cell", "lstm")
    tokenizer = checkpoint.vocabulary.tokenizers["text"]
    tokens = tokenizer.tokens
    if any(part.reverse != tokenizer.reverse for part in parts.values()):
        read, end = ("end", "true") if tokenizer.reverse else ("start", "false")
        raise UserError(
            f"init_from: the language model of '{file}' reads texts from their {read}. Set tokenizer.reverse={end}."
        )
    faults = [fault for part in parts.values() for fault in _misfits(part, weights, cell)]
    if faults:
        raise UserError(
            f"init_from: the sizes of '{file}' differ from this model's.\n" + "\n".join(dict.fromkeys(faults))
        )
    known = {role: _matches(role, part.place, tokens, file) for role, part in parts.items()}
    covered = {}
    for role, part in parts.items():
        _fill_rows(part.place.embedding.weight, weights["embedding.weight"], known[role])
        _fill_lstm(part.encoder.lstm.rnn, weights)
        _fill_head(part, checkpoint.weights, known[role])
        ordinary = [i for i in known[role] if i >= len(SPECIAL_TOKENS)]
        covered[role] = coverage_of(part.place, ordinary)
        _log_coverage(role, file, part, covered[role], len(ordinary))
    return covered


def _misfits(part: Part, weights: Mapping[str, Tensor], cell: str) -> Iterable[str]:
    wanted = _sizes(weights, cell)
    given = _sizes(part.encoder.state_dict(), part.encoder.lstm.cell)
    if wanted["cell"] != given["cell"]:  # the other sizes are counted in its gates
        wanted, given = ({"cell": sizes["cell"]} for sizes in (wanted, given))
    for name, value in wanted.items():
        if given[name] != value:
            shown = str(value).lower() if isinstance(value, bool) else value
            yield f"{part.key}.{name} is {given[name]}, the language model's {value}. Set {part.key}.{name}={shown}."


def _sizes(weights: Mapping[str, Tensor], cell: str) -> dict[str, Any]:
    rows, width = weights["lstm.rnn.weight_hh_l0"].shape  # (gates * H, O)
    return {
        "cell": cell,
        "embedding_size": weights["embedding.weight"].shape[1],
        "hidden_size": rows // _GATES[cell],
        "num_layers": sum(re.fullmatch(r"lstm\.rnn\.weight_hh_l\d+", name) is not None for name in weights),
        "proj_size": width if "lstm.rnn.weight_hr_l0" in weights else 0,
        "bias": "lstm.rnn.bias_hh_l0" in weights,
    }


def _matches(role: str, place: Place, tokens: Sequence[str], file: Path) -> dict[int, int]:
    """Return the id of each token here -> its id in the language model, if that has it."""
    first = len(SPECIAL_TOKENS)
    ids = {token: i for i, token in reversed([*enumerate(tokens)][first:])}  # of equal texts, the most frequent id
    found = {i: ids.get(token, ids.get(token.lower())) for i, token in enumerate(place.tokens) if i >= first}
    known = {i: row for i, row in found.items() if row is not None}
    if not known:
        examples = ", ".join(f"'{token}'" for token in place.tokens[first:][:MOST_NAMED])
        raise UserError(
            f"init_from: the language model of '{file}' knows none of the {len(place.tokens):,} tokens of {role} "
            f"({examples}, ...). Are both in one language, and tokenized alike? init_tokenizer=true uses its tokenizer."
        )
    return {i: i for i in range(first)} | known


@torch.no_grad()
def _fill_rows(weight: Tensor, given: Tensor, known: Mapping[int, int]) -> None:
    """Copy the rows that both know, (V, ...), and set the others to their mean, special tokens excluded."""
    here, there = list(known), torch.tensor(list(known.values()))
    weight.copy_(given[there[len(SPECIAL_TOKENS) :]].mean(0).expand_as(weight))
    weight[here] = given[there].to(weight)


def _fill_lstm(rnn: nn.Module, weights: Mapping[str, Tensor]) -> None:
    values = {name: value.detach().clone() for name, value in rnn.state_dict().items()}
    for name, value in values.items():
        given = weights.get(f"lstm.rnn.{name}")
        if given is not None:  # otherwise it belongs to the backward direction
            value[..., given.shape[-1] :] = 0
            value[..., : given.shape[-1]] = given
    rnn.load_state_dict(values)


def _fill_head(part: Part, weights: Mapping[str, Tensor], known: Mapping[int, int]) -> None:
    head, given = part.head, weights.get("head.weight")
    if head is None or given is None or given.shape[1] != head.in_features:
        return
    if head.weight is not part.place.embedding.weight:
        _fill_rows(head.weight, given, known)
    _fill_rows(head.bias, weights["head.bias"], known)


def _log_coverage(role: str, file: Path, part: Part, coverage: Coverage, found: int) -> None:
    rnn = part.encoder.lstm.rnn
    words = len(part.place.tokens) - len(SPECIAL_TOKENS)
    tokens = "" if coverage.tokens is None else f", {100 * coverage.tokens:.1f} % of the training tokens"
    lstm = f"{rnn.num_layers} layer(s) of {rnn.hidden_size}" + (", forward direction" if rnn.bidirectional else "")
    share = f"{found:,} of {words:,} tokens ({100 * coverage.words:.1f} %){tokens}"
    log.info("%s: initialised from '%s', which knows %s; LSTM: %s", role, file, share, lstm)
