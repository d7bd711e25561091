"""A sample of the kills: a run that is killed within an epoch, renamed and killed again ends as the whole one does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "kills.py"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads processor time from /proc")
def test_killed_runs_end_in_the_same_weights(tmp_path):
    options = ["--only", "stream", "--kills", "1", "--twice", "--move", "--folder", str(tmp_path)]
    said = subprocess.run(
        [sys.executable, str(SCRIPT), *options],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert said.stdout.splitlines()[-1].split() == ["all", "1", "of", "1"], said.stdout + said.stderr
