"""What a process holds after blocks were freed, in a process of its own: the allocator's settings are for all of it."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from lstm_readout.training.allocator import STATM

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc" or not STATM.exists(), reason="the setting is glibc's, on Linux"
)

MEBIBYTE = 2**20

SCRIPT = """
import torch
from lstm_readout.training import allocator as memory

assert memory.keep_freed_memory()
memory.SPARE = 2**27
watch = memory.FreedMemory()

def step(mebibytes):
    torch.ones(mebibytes * 2**18)  # freed at once
    before = memory.held_memory()
    watch.on_train_batch_end(None, None, None, None, 0)
    print(before, memory.held_memory())

{steps}
"""


def held(steps: str) -> list[list[float]]:
    """Return what is held after each step in MiB, before it was looked at and then."""
    program = [sys.executable, "-c", SCRIPT.format(steps=steps)]
    told = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    return [[int(number) / MEBIBYTE for number in line.split()] for line in told.splitlines()]


def test_freed_blocks_are_kept_until_they_are_too_much_and_then_given_back():
    (first, _), (before, after) = held("step(1); step(1500)")
    assert before > first + 1400  # kept, though freed
    assert after < first + 300


def test_steps_of_one_shape_keep_their_blocks():
    rows = held("step(500); step(500); step(500)")
    assert all(before == pytest.approx(after, abs=1) and after > 500 for before, after in rows)


def test_after_giving_back_the_next_step_is_counted_as_the_first():
    *_, (_, kept), (before, after) = held("step(1); step(1500); step(1500); step(1500)")
    assert kept > 1400
    assert before == pytest.approx(after, abs=1)
