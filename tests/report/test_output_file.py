"""One rule for every ``output=``: nothing is replaced unasked, and a plain file is written, whole or not at all."""

import os
from pathlib import Path

import pytest

from lstm_readout.errors import UserError
from lstm_readout.report.output_file import checked_output, write_file


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("there.json").write_text("old")
    Path("folder").mkdir()
    Path("to_file").symlink_to("there.json")
    Path("to_nothing").symlink_to("nowhere.json")
    Path("to_device").symlink_to("/dev/full")
    os.mkfifo("pipe")


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("/dev/full", "is a device or a pipe"),
        ("to_device", "is a device or a pipe"),
        ("pipe", "is a device or a pipe"),
        ("folder", "is a folder"),
        ("to_nothing", "which does not exist"),
        ("nowhere/result.json", "no such folder: 'nowhere'"),
        ("there.json/result.json", "no such folder: 'there.json'"),
        ("folder/", "wanted the name of a file"),
        ("", "wanted the name of a file"),
        ("..", "wanted the name of a file"),
        ("a" * 300, "cannot write .* too long"),
        ("/proc/result.json", "cannot write '/proc/result.json'"),
    ],
)
def test_anything_but_a_plain_file_is_refused(value, message, overwrite):
    with pytest.raises(UserError, match=f"^output: .*{message}"):
        checked_output(value, overwrite=overwrite)


@pytest.mark.parametrize("value", ["there.json", "to_file"])
def test_nothing_is_replaced_unless_asked(value):
    with pytest.raises(UserError, match=r"already exists. Name another file, remove it first, or set overwrite=true\."):
        checked_output(value)
    Path("there.json").chmod(0o640)
    path = checked_output(value, overwrite=True)
    write_file(path, "new")
    assert Path("there.json").read_text() == "new"
    assert Path("there.json").stat().st_mode & 0o777 == 0o640
    assert Path("to_file").is_symlink()


def test_a_check_leaves_nothing_behind():
    before = set(Path().iterdir())
    assert checked_output("new.json") == Path("new.json")
    assert set(Path().iterdir()) == before


def test_an_interrupted_write_leaves_what_was_there(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    before = set(Path().iterdir())
    with pytest.raises(KeyboardInterrupt):
        write_file(Path("there.json"), "new")
    assert Path("there.json").read_text() == "old"
    assert set(Path().iterdir()) == before
