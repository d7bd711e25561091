"""The doctor's two questions: a module and a batch go in, a ``Report`` comes out.

The checks need no labels: each changes the module's input in a way that must, or must not, change its logits.
Shapes: B rows, T steps, C classes, V vocabulary size.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lstm_readout.doctor.checks.decoding import Decoding
from lstm_readout.doctor.examinations import (
    READ,
    Adaptor,
    Module,
    Options,
    TranslatorAdaptor,
    reader_report,
    target_side,
    translator_report,
    vocabulary_of,
)
from lstm_readout.doctor.given_rows import check_call, check_module, check_rows, longest_first
from lstm_readout.doctor.module_under_test import Subject
from lstm_readout.doctor.own_modes import own_modes
from lstm_readout.doctor.ragged_batch import Rows
from lstm_readout.doctor.report import Report
from lstm_readout.errors import UserError, did_you_mean


def check(
    module: Module,
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
        module: an ``nn.Module``, compiled or not, or a function. It returns logits, or a tuple that begins with them,
            or a dict or an object with ``logits``: (B, C), or (B,) for two classes, to classify; (B, T, C) to tag each
            token; (B, T, V) to generate, where step t predicts the next token.
        token_ids: (B, T) int64, padded on the right; any real batch. Five of its rows are used, up to 32 tokens each.
        lengths: (B,) the number of real tokens of each row.
        task: ``classify``, ``tag`` or ``generate``; see ``check_translator`` for the fourth.
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
    check_module(module)
    check_rows(token_ids, lengths, "token_ids", "lengths")
    run = adaptor or (lambda module, token_ids, lengths: module(token_ids, lengths))
    with own_modes():
        rows = Rows(token_ids, lengths).take(longest_first(lengths))
        subject = Subject(
            module, lambda module, rows: run(module, rows.ids, rows.lengths), each_step=task != "classify"
        )
        options = Options(untrained, unknown_id, rows.ids[rows.real()])
        try:
            check_call(subject, rows, "module(token_ids, lengths)", "module, token_ids, lengths")
            return reader_report(subject, rows, vocabulary_of(rows), task, options)
        finally:
            subject.close()


def check_translator(
    module: Module,
    source_ids: Tensor,
    source_lengths: Tensor,
    target_ids: Tensor,
    target_lengths: Tensor,
    *,
    adaptor: TranslatorAdaptor | None = None,
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
    check_module(module)
    check_rows(source_ids, source_lengths, "source_ids", "source_lengths")
    check_rows(target_ids, target_lengths, "target_ids", "target_lengths")
    if len(source_ids) != len(target_ids):
        raise UserError(f"target_ids: {len(target_ids)} rows, but source_ids has {len(source_ids)}. Give pairs.")
    run = adaptor or (lambda module, *given: module(*given))
    call = "module(source_ids, source_lengths, target_ids, target_lengths)"
    arguments = "module, source_ids, source_lengths, target_ids, target_lengths"
    with own_modes():
        order = longest_first(source_lengths)
        source, target = Rows(source_ids, source_lengths).take(order), Rows(target_ids, target_lengths).take(order)
        subject = Subject(module, target_side(run), each_step=True)
        options = Options(untrained, unknown_id, torch.cat([side.ids[side.real()] for side in (source, target)]))
        vocabularies = vocabulary_of(source), vocabulary_of(target)
        try:
            check_call(subject, target._replace(beside=(source.ids, source.lengths)), call, arguments)
            return translator_report(subject, run, (source, target), vocabularies, options, decoding)
        finally:
            subject.close()
