"""Runs go in; they are trained side by side, each in its own process, and the key of each comes out when it ends."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, as_completed
from typing import NamedTuple

from lstm_readout.compare.runs import Run, perform, quiet_process

Key = tuple[str, int]  # a variant and a seed


class _Ended(NamedTuple):
    """A run that ended: with a result, or with an error."""

    key: Key
    error: Exception | None


def perform_all(runs: Mapping[Key, Run], jobs: int) -> Iterator[_Ended]:
    """Perform all runs, ``jobs`` at a time.

    Raises:
        BrokenExecutor: a process was killed.
    """
    if jobs == 1 or len(runs) < 2:
        yield from (_Ended(key, _error_of(run)) for key, run in runs.items())
    else:
        yield from _in_processes(runs, min(jobs, len(runs)))


def _error_of(run: Run) -> Exception | None:
    try:
        perform(run)
    except Exception as error:  # whatever a variant's training raises: the others continue
        return error
    return None


def _in_processes(runs: Mapping[Key, Run], jobs: int) -> Iterator[_Ended]:
    threads = max(1, (os.cpu_count() or 1) // jobs)
    # spawn: a forked process would share torch's threads, and hang
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), quiet_process, (threads,)) as pool:
        futures: dict[Future[None], Key] = {pool.submit(perform, run): key for key, run in runs.items()}
        try:
            for future in as_completed(futures):
                yield _Ended(futures[future], _error_in(future))
        except BaseException:
            for process in (pool._processes or {}).values():  # a run can take minutes, and is worthless unfinished
                process.terminate()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _error_in(future: Future[None]) -> Exception | None:
    error = future.exception()
    if isinstance(error, BrokenExecutor) or not (error is None or isinstance(error, Exception)):
        raise error
    return error
