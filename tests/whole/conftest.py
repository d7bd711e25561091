"""The wheel, built and installed once: an environment that knows nothing of the clone."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    # sdist, then the wheel from the sdist: what is missing from the one is missing from the other
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(REPOSITORY)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def installed(built, tmp_path_factory):
    """An environment without the clone; what the wheel depends on is lent by this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    (packages,) = folder.glob("lib/python*/site-packages")
    # Path lines, not site folders: .pth files in them, such as an editable install's, are not read
    lent = [folder for folder in sys.path if folder.endswith("site-packages")]
    (packages / "lent.pth").write_text("\n".join(lent) + "\n")
    command = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(built)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return folder / "bin"
