"""A stranger's checkpoint: whatever is wrong with it is one line that names it, and nothing in it runs."""

import copy
import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from lstm_readout import DocumentClassifier
from lstm_readout.commands import evaluate, predict
from lstm_readout.errors import UserError
from lstm_readout.models.checkpoint import read_checkpoint
from lstm_readout.tasks import ClassifyTask
from lstm_readout_hostile_files import CHECKPOINTS, good_checkpoint


@pytest.fixture(scope="module")
def good():
    return good_checkpoint()


@pytest.fixture
def content(good):
    return copy.deepcopy(good)


def saved(content, path):
    torch.save(content, path)
    return path


def refused(path):
    """Return what loading says, which must be one line that names the file."""
    with pytest.raises(UserError) as error:
        DocumentClassifier.load(path)
    text = str(error.value)
    assert text.startswith("checkpoint: ")
    assert str(path) in text
    assert "\n" not in text
    assert len(text) < 600
    return text


def test_the_good_one_is_read_and_older_ones_without_a_hash(content, tmp_path):
    label = DocumentClassifier.load(saved(content, tmp_path / "a.ckpt"))(["good film"])[0].label
    del content["weights_sha256"]
    assert DocumentClassifier.load(saved(content, tmp_path / "b.ckpt"))(["good film"])[0].label == label


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_what_is_wrong_is_one_line(name, content, tmp_path):
    change, wanted = CHECKPOINTS[name]
    change(content)
    assert wanted in refused(saved(content, tmp_path / "stranger.ckpt"))


class Runs:
    """A pickle that makes a folder when it is read."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return Path.mkdir, (self.folder,)


def test_a_pickle_runs_nothing(content, tmp_path):
    content["hyper_parameters"]["config"] = Runs(tmp_path / "made")
    assert "more than tensors and plain values: builtins.getattr" in refused(saved(content, tmp_path / "a.ckpt"))
    (tmp_path / "b.ckpt").write_bytes(pickle.dumps(Runs(tmp_path / "made")))
    assert "not a checkpoint" in refused(tmp_path / "b.ckpt")
    assert not (tmp_path / "made").exists()


def test_a_byte_that_was_flipped_anywhere_is_noticed(content, tmp_path):
    path = saved(content, tmp_path / "a.ckpt")
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        members = [(archive.read(member), member.filename) for member in archive.infolist()]
    places = [data.index(body) + len(body) // 2 for body, _ in members if len(body) > 8]
    assert len(places) > 5
    for place in places:
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x40]) + data[place + 1 :])
        assert "it is damaged" in refused(path)
    for length in (0, 1, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        refused(path)


def test_a_compressed_file_is_not_unpacked(content, tmp_path):
    content["state_dict"]["model.x"] = torch.zeros(1_000_000)
    path = saved(content, tmp_path / "a.ckpt")
    with zipfile.ZipFile(path) as before, zipfile.ZipFile(tmp_path / "b.ckpt", "w", zipfile.ZIP_DEFLATED) as after:
        for member in before.infolist():
            after.writestr(member.filename, before.read(member))
    assert "it is compressed" in refused(tmp_path / "b.ckpt")


def test_a_second_pickle_in_the_file_is_not_read(content, tmp_path):
    path = saved(content, tmp_path / "a.ckpt")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(next(name for name in archive.namelist() if name.endswith("data.pkl")), b"N.")
    assert "its parts overlap" in refused(path)


def test_a_configuration_under_its_earlier_names_is_read_under_the_present_ones(content, tmp_path):
    content["hyper_parameters"]["config"]["data"]["stream"] = True
    path = saved(content, tmp_path / "a.ckpt")
    data = read_checkpoint(path).config["data"]
    assert data["carry_state"] is True
    assert "stream" not in data


def test_a_task_is_rebuilt_as_carefully(content, tmp_path):
    content["hyper_parameters"]["model"]["num_layers"] = 10**6
    with pytest.raises(UserError, match="num_layers is 1000000"):
        ClassifyTask.load_from_checkpoint(saved(content, tmp_path / "a.ckpt"))


@pytest.mark.parametrize(
    "data", [{"path": 3}, {"bacth_size": 3}, {"name": {"_target_": "os.getcwd"}}, {"num_workers": 100_000}, [1]]
)
def test_the_data_that_a_file_names_is_checked_before_it_is_read(content, tmp_path, monkeypatch, capsys, data):
    monkeypatch.chdir(tmp_path)
    content["hyper_parameters"]["config"]["data"] = {"name": "sample", "max_rows": 40} | data if data != [1] else data
    with pytest.raises(SystemExit) as stop:
        evaluate.main([f"checkpoint={saved(content, tmp_path / 'a.ckpt')}"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_settings_that_a_file_names_are_checked_before_they_are_used(content, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    content["hyper_parameters"]["config"]["task"] = {"label_smoothing": "x"}
    with pytest.raises(SystemExit) as stop:
        evaluate.main([f"checkpoint={saved(content, tmp_path / 'a.ckpt')}"])
    assert stop.value.code == 2
    assert "a setting of its run cannot be used: task." in capsys.readouterr().err


def test_a_task_that_no_configuration_has_is_one_line(content, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    content["hyper_parameters"]["task"] = "tag"
    with pytest.raises(SystemExit) as stop:
        predict.main([f"checkpoint={saved(content, tmp_path / 'a.ckpt')}", "text=a"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
