"""Which checks run, and on what: a module under examination and its rows go in, a ``Report`` comes out.

Shapes: B rows, T steps, C classes, V vocabulary size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from lstm_readout.doctor.checks.base import Check, Examination, Verdict, examine
from lstm_readout.doctor.checks.calls import DETACHED, LOGITS, RANDOM, START_LOSS, STATE
from lstm_readout.doctor.checks.decoding import Decoding, beam, unknown
from lstm_readout.doctor.checks.gradients import DIRECTIONS, DROPOUT, GRADIENTS, LAYERS
from lstm_readout.doctor.checks.last_operation import ACTIVATION, SOFTMAX
from lstm_readout.doctor.checks.padding import LEFT_PADDING, PADDING
from lstm_readout.doctor.checks.rows import BATCH_FIRST, BATCH_SIZE, H_N_VIEW, ORDER, ROWS
from lstm_readout.doctor.checks.states import C_N, HALVES
from lstm_readout.doctor.checks.steps import ENDS, FUTURE, STEPS
from lstm_readout.doctor.module_under_test import Broken, Subject
from lstm_readout.doctor.ragged_batch import Rows, shortened, small
from lstm_readout.doctor.report import Report
from lstm_readout.doctor.returned_logits import logits_in

Module = nn.Module | Callable[..., Any]
Adaptor = Callable[[Any, Tensor, Tensor], Any]
TranslatorAdaptor = Callable[[Any, Tensor, Tensor, Tensor, Tensor], Any]

_CALLS = (LEFT_PADDING, LOGITS, RANDOM, STATE, DETACHED)
_BETWEEN_ROWS = (BATCH_FIRST, H_N_VIEW, ROWS, PADDING, ORDER, BATCH_SIZE)
READ = {
    "classify": (ENDS, LAYERS, DIRECTIONS, HALVES),
    "tag": (STEPS, LAYERS, DIRECTIONS),
    "generate": (FUTURE, STEPS, LAYERS),
}
_LAST = (C_N, GRADIENTS, SOFTMAX, ACTIVATION, DROPOUT)
_SOURCE = tuple(check.of("source") for check in (LEFT_PADDING, BATCH_FIRST, H_N_VIEW, ROWS, PADDING, ENDS))
_SOURCE_DIRECTIONS = DIRECTIONS.of("source")
_MOST_BESIDE = 9  # tokens of the other side of a translation


class Options(NamedTuple):
    """What a caller knows besides the module and its rows."""

    untrained: bool = False
    unknown_id: int | None = None
    tokens: Tensor | None = None  # (tokens,) real ones, in which unknown tokens are counted


def reader_report(subject: Subject, rows: Rows, vocabulary: Tensor, task: str, options: Options) -> Report:
    """Run the checks of ``check`` on some of the rows."""
    examination = Examination(subject, small(rows), rows, vocabulary)
    checks = [*_CALLS, *_BETWEEN_ROWS, *READ[task], *_LAST, *_optional(options)]
    return examine([(examination, check) for check in checks], _begun(examination))


def translator_report(
    subject: Subject,
    run: TranslatorAdaptor,
    pair: tuple[Rows, Rows],
    vocabularies: tuple[Tensor, Tensor],
    options: Options,
    decoding: Decoding | None,
) -> Report:
    """Run the checks of ``check_translator`` on some of the pairs: ``subject`` reads targets, ``run`` both sides."""
    (source, target), (short_source, short_target) = pair, small_pair(*pair)
    reader = Subject(subject.module, _source_side(run), each_step=False)
    writes = Examination(subject, _beside(short_target, short_source), _beside(target, source), vocabularies[1])
    reads = Examination(reader, _beside(short_source, short_target), _beside(source, target), vocabularies[0])
    found = _begun(writes)
    checks = [(writes, check) for check in _CALLS] + [(reads, check) for check in _SOURCE]
    checks += [(writes, check) for check in (*_BETWEEN_ROWS, *READ["generate"])] + [(reads, _SOURCE_DIRECTIONS)]
    checks += [(writes, check) for check in (*_LAST, *_optional(options))]
    if decoding is not None:
        checks.append((reads, beam(decoding)))
    return examine(checks, found)


def small_pair(source: Rows, target: Rows) -> tuple[Rows, Rows]:
    """Return a few short pairs: the longest source first, with different target lengths as well."""
    number = torch.arange(len(source.ids), device=source.ids.device)
    sources = small(source._replace(beside=(number,)))
    index = sources.beside[0]
    caps = torch.tensor((6, 8, 5, 7, 3), device=target.lengths.device)[: len(index)]
    chosen = target.take(index)
    return sources._replace(beside=()), shortened(chosen, torch.minimum(chosen.lengths, caps.to(chosen.lengths.dtype)))


def _beside(rows: Rows, others: Rows) -> Rows:
    """Return the rows with a few tokens of their other sides beside them."""
    short = shortened(others, others.lengths.clamp(max=_MOST_BESIDE))
    return rows._replace(beside=(short.ids, short.lengths))


def vocabulary_of(rows: Rows) -> Tensor:
    """Return the distinct ids of the real tokens."""
    return rows.ids[rows.real()].unique()


def _begun(examination: Examination) -> dict[str, Verdict]:
    """Make the first call; if the logits do not depend on their row, perturb the weights first.

    Returns:
        A failure that explains all others.
    """
    padding = LEFT_PADDING.run(examination)
    if padding.status == "failed":
        return {LEFT_PADDING.name: padding}
    subject = examination.subject
    try:
        scores = examination.scores
    except Broken as broken:
        finding = f"{len(examination.rows.ids)} short rows: {broken}"
        return {"batch_size": Verdict("failed", finding)} if broken.raised else {}
    if len(scores) and bool((scores == scores[0]).all()):
        subject.stir()
        del examination.__dict__["logits"], examination.__dict__["scores"]
    return {}


def _optional(options: Options) -> list[Check]:
    checks = [START_LOSS] if options.untrained else []
    if options.unknown_id is not None and options.tokens is not None:
        checks.append(unknown(options.tokens, options.unknown_id))
    return checks


def target_side(run: TranslatorAdaptor) -> Callable[[nn.Module, Rows], Tensor]:
    """Return the call of a translator; its rows are targets, with sources and their lengths beside them."""

    def call(module: nn.Module, rows: Rows) -> Tensor:
        source_ids, source_lengths = rows.beside
        return run(module, source_ids, source_lengths, rows.ids, rows.lengths)

    return call


def _source_side(run: TranslatorAdaptor) -> Callable[[nn.Module, Rows], Tensor]:
    """Return the call of a translator as a reader of sources: its logits at all steps of the target, (B, steps * V)."""

    def call(module: nn.Module, rows: Rows) -> Tensor:
        target_ids, target_lengths = rows.beside
        logits = logits_in(run(module, rows.ids, rows.lengths, target_ids, target_lengths))  # (B, T, V)
        real = Rows(target_ids, target_lengths).real()[:, : logits.shape[1]].to(logits.device)
        scores = logits[:, : real.shape[1]] * real.unsqueeze(-1)  # steps after the end of a target count as 0
        return pad(scores, (0, 0, 0, _MOST_BESIDE - scores.shape[1])).flatten(1)

    return call
