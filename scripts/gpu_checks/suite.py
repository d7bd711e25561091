"""The tests that need CUDA: their files are found, run in a process of their own, and counted."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

_REPOSITORY = Path(__file__).parents[2]
_MARKED = "mark.cuda"
_OUTCOMES = ("passed", "failed", "skipped", "errors")
_LAST_LINES = 4000  # characters of pytest's output that are kept of a failed run


def run_cuda_tests(seconds: float) -> dict[str, Any]:
    """Run ``pytest -m cuda`` on the files that name the marker, and return the number of each outcome.

    Raises:
        RuntimeError: a test failed, or none was found; with the end of pytest's output.
        subprocess.TimeoutExpired: it took longer than ``seconds``.
    """
    files = [str(p) for p in sorted((_REPOSITORY / "tests").rglob("test_*.py")) if _MARKED in p.read_text("utf-8")]
    if not files:  # pytest would take all tests
        raise RuntimeError(f"no test file says {_MARKED}")
    command = [sys.executable, "-m", "pytest", "-m", "cuda", "-p", "no:cacheprovider", *files]
    done = subprocess.run(command, cwd=_REPOSITORY, capture_output=True, text=True, timeout=seconds)
    if done.returncode:
        raise RuntimeError((done.stdout + done.stderr)[-_LAST_LINES:])
    found = {outcome: re.search(rf"(\d+) {outcome}", done.stdout) for outcome in _OUTCOMES}
    return {outcome: int(number[1]) if number else 0 for outcome, number in found.items()}
