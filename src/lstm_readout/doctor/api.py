"""The doctor's two questions: a module and a batch go in, a ``Report`` comes out.

The checks need no labels: each changes the module's input in a way that must, or must not, change its logits.
Shapes: B rows, T steps, C classes, V vocabulary size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lstm_readout.doctor.checks.base import Check, Examination, Verdict, examine
from lstm_readout.doctor.checks.calls import DETACHED, LOGITS, RANDOM, SOFTMAX, START_LOSS, STATE
from lstm_readout.doctor.checks.decoding import Decoding, beam, unknown
from lstm_readout.doctor.checks.gradients import DIRECTIONS, DROPOUT, GRADIENTS, LAYERS
from lstm_readout.doctor.checks.rows import BATCH_FIRST, BATCH_SIZE, H_N_VIEW, ORDER, PADDING, ROWS
from lstm_readout.doctor.checks.steps import ENDS, FUTURE, STEPS
from lstm_readout.doctor.module_under_test import Broken, Subject, preserved_random_state
from lstm_readout.doctor.ragged_batch import Rows, small
from lstm_readout.doctor.report import Report
from lstm_readout.errors import UserError, did_you_mean

Adaptor = Callable[[nn.Module, Tensor, Tensor], Tensor]
_TranslatorAdaptor = Callable[[nn.Module, Tensor, Tensor, Tensor, Tensor], Tensor]

_CALLS = (LOGITS, RANDOM, STATE, DETACHED)
_BETWEEN_ROWS = (BATCH_FIRST, H_N_VIEW, ROWS, PADDING, ORDER, BATCH_SIZE)
READ = {"classify": (ENDS, LAYERS, DIRECTIONS), "generate": (FUTURE, STEPS, LAYERS)}
_LAST = (GRADIENTS, SOFTMAX, DROPOUT)
_SOURCE = tuple(check.of("source") for check in (BATCH_FIRST, H_N_VIEW, ROWS, PADDING, ENDS))
_SOURCE_DIRECTIONS = DIRECTIONS.of("source")


class Options(NamedTuple):
    """What a caller knows besides the module and its rows."""

    untrained: bool = False
    unknown_id: int | None = None
    tokens: Tensor | None = None  # (tokens,) real ones, in which unknown tokens are counted


def check(
    module: nn.Module,
    token_ids: Tensor,
    lengths: Tensor,
    task: str = "classify",
    *,
    adaptor: Adaptor | None = None,
    untrained: bool = False,
    unknown_id: int | None = None,
) -> Report:
    """Look for the classic mistakes in a module that is called as ``module(token_ids, lengths)``.

    A copy is examined in eval mode: your weights, gradients, modes and random state stay unchanged.

    Args:
        module: returns logits: (B, C) to classify; (B, T, V) to generate, where step t predicts the next token.
        token_ids: (B, T) int64, padded; any real batch. Five of its rows are used, up to 9 tokens each.
        lengths: (B,) the number of real tokens of each row.
        task: ``classify`` or ``generate``; see ``check_translator`` for the third.
        adaptor: (module, token_ids, lengths) -> logits, for a module with another signature or another order of axes.
            It must call the module that it is passed.
        untrained: the module has its initial weights, so its loss is checked as well.
        unknown_id: the id of unknown tokens, to count them.

    Returns:
        ``failed`` and ``warned`` name checks, ``results`` say what was done and what to change.

    Raises:
        UserError: token_ids, lengths or task are not as above, or the module cannot be called like this.
    """
    if task == "translate":
        raise UserError("task='translate': a translator reads two sides. Call doctor.check_translator.")
    if task not in READ:
        raise UserError(f"task: there is no '{task}'. {did_you_mean(str(task), READ)}")
    _check_rows(token_ids, lengths, "token_ids", "lengths")
    run = adaptor or (lambda module, token_ids, lengths: module(token_ids, lengths))
    rows = Rows(token_ids, lengths).take(_sorted(lengths))
    subject = Subject(module, lambda module, rows: run(module, rows.ids, rows.lengths), each_step=task == "generate")
    options = Options(untrained, unknown_id, rows.ids[rows.real()])
    with preserved_random_state():
        try:
            _check_call(subject, rows, "module(token_ids, lengths)", "module, token_ids, lengths")
            return reader_report(subject, small(rows), vocabulary_of(rows), options)
        finally:
            subject.close()


def check_translator(
    module: nn.Module,
    source_ids: Tensor,
    source_lengths: Tensor,
    target_ids: Tensor,
    target_lengths: Tensor,
    *,
    adaptor: _TranslatorAdaptor | None = None,
    decoding: Decoding | None = None,
    untrained: bool = False,
    unknown_id: int | None = None,
) -> Report:
    """Look for the classic mistakes in a module called as ``module(source_ids, source_lengths, target_ids, ...)``.

    Args:
        module: returns logits (B, T, V) of the target, given the source and the target so far (teacher forcing).
        source_ids, target_ids: (B, S) and (B, T) int64, padded.
        source_lengths, target_lengths: (B,) each.
        adaptor: (module, source_ids, source_lengths, target_ids, target_lengths) -> logits, for other signatures.
        decoding: how it decodes; its beam search is checked if this is given.
        untrained, unknown_id: see ``check``.

    Returns:
        As ``check``; names of checks of the source side start with ``source_``.

    Raises:
        UserError: as ``check``.
    """
    _check_rows(source_ids, source_lengths, "source_ids", "source_lengths")
    _check_rows(target_ids, target_lengths, "target_ids", "target_lengths")
    if len(source_ids) != len(target_ids):
        raise UserError(f"target_ids: {len(target_ids)} rows, but source_ids has {len(source_ids)}. Give pairs.")
    run = adaptor or (lambda module, *given: module(*given))
    order = _sorted(source_lengths)
    source, target = (Rows(*side).take(order) for side in ((source_ids, source_lengths), (target_ids, target_lengths)))
    subject = Subject(module, target_side(run), each_step=True)
    options = Options(untrained, unknown_id, torch.cat([side.ids[side.real()] for side in (source, target)]))
    with preserved_random_state():
        try:
            call = "module(source_ids, source_lengths, target_ids, target_lengths)"
            arguments = "module, source_ids, source_lengths, target_ids, target_lengths"
            _check_call(subject, target._replace(beside=(source.ids, source.lengths)), call, arguments)
            pair = small_pair(source, target)
            vocabularies = vocabulary_of(source), vocabulary_of(target)
            return translator_report(subject, run, pair, vocabularies, options, decoding)
        finally:
            subject.close()


def reader_report(subject: Subject, rows: Rows, vocabulary: Tensor, options: Options) -> Report:
    """Run the checks of ``check`` on a few short rows."""
    examination = Examination(subject, rows, vocabulary)
    found = _begun(examination)
    read = READ["generate" if subject.each_step else "classify"]
    checks = [*_CALLS, *_BETWEEN_ROWS, *read, *_LAST, *_optional(options)]
    return examine([(examination, check) for check in checks], found)


def translator_report(
    subject: Subject,
    run: _TranslatorAdaptor,
    pair: tuple[Rows, Rows],
    vocabularies: tuple[Tensor, Tensor],
    options: Options,
    decoding: Decoding | None,
) -> Report:
    """Run the checks of ``check_translator`` on a few short pairs: ``subject`` reads the target, ``run`` both sides."""
    source, target = pair
    reader = Subject(subject.module, _source_side(run), each_step=False)
    writes = Examination(subject, target._replace(beside=(source.ids, source.lengths)), vocabularies[1])
    found = _begun(writes)
    reads = Examination(reader, source._replace(beside=(target.ids, target.lengths)), vocabularies[0])
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
    cut = torch.minimum(chosen.lengths, caps.to(chosen.lengths.dtype))
    short = Rows(chosen.ids[:, : int(cut.max())], cut)
    return sources._replace(beside=()), short


def vocabulary_of(rows: Rows) -> Tensor:
    """Return the distinct ids of the real tokens."""
    return rows.ids[rows.real()].unique()


def _begun(examination: Examination) -> dict[str, Verdict]:
    """Make the first call; if the logits do not depend on their row, perturb the weights first."""
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


def target_side(run: _TranslatorAdaptor) -> Callable[[nn.Module, Rows], Tensor]:
    """Return the call of a translator; its rows are targets, with sources and their lengths beside them."""

    def call(module: nn.Module, rows: Rows) -> Tensor:
        source_ids, source_lengths = rows.beside
        return run(module, source_ids, source_lengths, rows.ids, rows.lengths)

    return call


def _source_side(run: _TranslatorAdaptor) -> Callable[[nn.Module, Rows], Tensor]:
    def call(module: nn.Module, rows: Rows) -> Tensor:
        target_ids, target_lengths = rows.beside
        logits = run(module, rows.ids, rows.lengths, target_ids, target_lengths)  # (B, T, V)
        real = Rows(target_ids, target_lengths).real()[:, : logits.shape[1]].to(logits.device)
        return (logits[:, : real.shape[1]] * real.unsqueeze(-1)).flatten(
            1
        )  # steps after the end of a target count as 0

    return call


def _check_call(subject: Subject, rows: Rows, call: str, arguments: str) -> None:
    """Refuse a module that cannot be called like this."""
    try:
        called = subject.is_called(rows)
    except Broken as broken:
        if broken.raised:
            raise UserError(
                f"{call} {broken}. If the module is called differently, pass adaptor=lambda {arguments}: ... that "
                "returns its logits."
            ) from broken
        return  # logits of another shape: a check reports it
    if subject.copied and not called:
        raise UserError("adaptor: it must call the module that it is passed, a copy, and not another one.")


def _sorted(lengths: Tensor) -> Tensor:
    """Return the order that some modules need: the longest row first."""
    return lengths.argsort(descending=True, stable=True)


def _check_rows(token_ids: Tensor, lengths: Tensor, ids_name: str, lengths_name: str) -> None:
    for name, value in ((ids_name, token_ids), (lengths_name, lengths)):
        if not isinstance(value, Tensor):
            raise UserError(f"{name}: wanted a Tensor, got a {type(value).__name__}. Use torch.tensor(...).")
    if token_ids.dim() != 2 or token_ids.dtype != torch.int64:
        raise UserError(
            f"{ids_name}: wanted int64 ids of shape (batch, steps), got {token_ids.dtype} of shape "
            f"{tuple(token_ids.shape)}. Pad the rows on the right: pad_sequence(rows, batch_first=True)."
        )
    batch, steps = token_ids.shape
    if lengths.shape != (batch,) or lengths.dtype not in (torch.int64, torch.int32):
        raise UserError(
            f"{lengths_name}: wanted int64 of shape (batch,) = ({batch},), got {lengths.dtype} of shape "
            f"{tuple(lengths.shape)}. Give one length for each row of {ids_name}."
        )
    if batch and (int(lengths.min()) < 1 or int(lengths.max()) > steps):
        raise UserError(
            f"{lengths_name}: wanted 1 to {steps} (the steps of {ids_name}), got {int(lengths.min())} to "
            f"{int(lengths.max())}."
        )
    if len(lengths.unique()) < 2:
        raise UserError(
            f"{lengths_name}: {batch} row(s), all of one length. Give at least two rows of different length: padding "
            "is where most mistakes are."
        )
    if len(vocabulary_of(Rows(token_ids, lengths))) < 2:
        raise UserError(f"{ids_name}: all real tokens are the same id. Give rows of at least two different ids.")
