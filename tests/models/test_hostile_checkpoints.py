"""A stranger's checkpoint: whatever is wrong with it is one line that names it, and nothing in it runs."""

import copy
import json
import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from lstm_readout import DocumentClassifier
from lstm_readout.commands import evaluate, predict
from lstm_readout.errors import UserError
from lstm_readout.models import Classifier
from lstm_readout.models.checkpoint import hyper_parameters, read_checkpoint
from lstm_readout.models.weights_digest import digest
from lstm_readout.tasks import ClassifyTask
from lstm_readout.tokenizer import TextTokenizer, Vocabulary


@pytest.fixture(scope="module")
def good():
    """Return the content of a checkpoint as a run writes it."""
    vocabulary = Vocabulary({"text": TextTokenizer.train(["good bad film"])}, ["neg", "pos"])
    model = Classifier(vocab_size=len(vocabulary.tokenizers["text"]), num_classes=2, embedding_size=4, hidden_size=4)
    config = {"data": {"name": "sample"}, "seed": 0, "task": {}, "trainer": {}}
    weights = {f"model.{name}": value for name, value in model.state_dict().items()}
    return {
        "state_dict": weights,
        "weights_sha256": digest(weights),
        "hyper_parameters": hyper_parameters("classify", model.arguments, vocabulary, config),
    }


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


def change(*path):
    """Return a function that sets a value deep in a checkpoint."""
    *above, key, value = path

    def changed(content):
        node = content["hyper_parameters"]
        for name in above:
            node = node[name]
        node[key] = value

    return changed


def tokenizer(**values):
    def changed(content):
        content["hyper_parameters"]["vocabulary"]["tokenizers"]["text"] |= values

    return changed


def backend(**values):
    def changed(content):
        stored = content["hyper_parameters"]["vocabulary"]["tokenizers"]["text"]
        stored["json"] = json.dumps(json.loads(stored["json"]) | values)

    return changed


def weights(change):
    def changed(content):
        change(content["state_dict"])
        content["weights_sha256"] = digest(content["state_dict"])

    return changed


def split(pattern):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def replace(number):
    rule = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 1000}
    return {"type": "Sequence", "normalizers": [rule] * number}


NESTED = "[" * 100_000 + "]" * 100_000
deep: list = []
for _ in range(200):
    deep = [deep]
wide: list = []
for _ in range(30):
    wide = [wide] * 10
HOSTILE = {
    "a path as task": (change("task", "../../evil"), "task: "),
    "a task that Hydra reads as nothing": (change("task", "null"), "task: "),
    "a list as task": (change("task", ["classify"]), "task: wanted str"),
    "an override as task": (change("task", "classify hydra.run.dir=x"), "task: "),
    "a format of a later version": (change("format", 99), "newer than 1. Upgrade"),
    "a format that is text": (change("format", "1"), "format: wanted int"),
    "a configuration that is text": (change("config", "data"), "config: wanted dict"),
    "data that is a list": (change("config", "data", [1]), "config.data: wanted dict"),
    "a seed that is text": (change("config", "seed", "x"), "config.seed: wanted int"),
    "a configuration without an end": (change("config", "data", deep), "nested more than 30 deep"),
    "a configuration that is one list many times": (change("config", "rows", {"a": wide}), "more than 200,000 values"),
    "a tensor in the configuration": (change("config", "rows", {"a": torch.zeros(1)}), "got a Tensor"),
    "labels that are text": (change("vocabulary", "labels", "ab"), "labels: wanted list"),
    "labels that are numbers": (change("vocabulary", "labels", [0, 1]), "labels: wanted different texts"),
    "labels twice": (change("vocabulary", "labels", ["a", "a"]), "labels: wanted different texts"),
    "no labels": (change("vocabulary", "labels", []), "num_classes is 2, there are 0 labels"),
    "a label too many": (change("vocabulary", "labels", ["a", "b", "c"]), "there are 3 labels"),
    "no tokenizer": (change("vocabulary", "tokenizers", {}), "it has no text tokenizer"),
    "a tokenizer that is text": (change("vocabulary", "tokenizers", {"text": "x"}), "text: the tokenizer: wanted keys"),
    "a vocabulary that is text": (change("vocabulary", "x"), "vocabulary: wanted dict"),
    "json nested without an end": (tokenizer(json=NESTED), "text: the tokenizer is not JSON"),
    "json that is no tokenizer": (tokenizer(json="[]"), "it has no 'model'"),
    "a tokenizer with nothing in it": (
        backend(model={"type": "WordLevel", "vocab": {}, "unk_token": "<unk>"}),
        "cannot be read",
    ),
    "an id of 4 billion": (
        backend(model={"type": "WordLevel", "vocab": {"<unk>": 0, "a": 4_000_000_000}, "unk_token": "<unk>"}),
        "got id 4,000,000,000",
    ),
    "ids with holes": (
        backend(model={"type": "WordLevel", "vocab": {"<unk>": 0, "a": 40}, "unk_token": "<unk>"}, added_tokens=[]),
        "one of them is 40",
    ),
    "a pattern that never ends": (backend(pre_tokenizer=split("(a+)+$")), "may never end"),
    "rules that multiply a text": (backend(normalizer=replace(4)), "times longer"),
    "special tokens that are none": (tokenizer(special=[0, 1, 9]), "special tokens"),
    "a length below one": (tokenizer(max_length=0), "max_length=0"),
    "a length that is text": (tokenizer(max_length="9"), "max_length: wanted int or null"),
    "an unknown argument": (change("model", "hiden_size", 4), "unexpected keyword argument 'hiden_size'"),
    "an argument of another kind": (change("model", "hidden_size", "4"), "hidden_size is '4'"),
    "a readout that does not exist": (change("model", "readout", "all"), "readout"),
    "a million layers": (change("model", "num_layers", 1_000_000), "num_layers is 1000000"),
    "a vocabulary of a billion": (change("model", "vocab_size", 10**9), "vocab_size is 1000000000"),
    "a model without its arguments": (change("model", {}), "vocab_size"),
    "another width": (change("model", "hidden_size", 8), "in the file, and"),
    "a weight too few": (weights(lambda all: all.popitem()), "missing in the file"),
    "a weight too many": (weights(lambda all: all.update({"model.x": torch.zeros(2)})), "missing in its model"),
    "weights that are no tensors": (lambda content: content["state_dict"].update({"model.x": "a"}), "not a tensor"),
    "a sparse weight": (
        lambda content: content["state_dict"].update({"model.x": torch.zeros(2).to_sparse()}),
        "more than tensors and plain values: torch._utils._rebuild_sparse_tensor",
    ),
    "a weight larger than the file": (
        lambda content: content["state_dict"].update({"model.x": torch.zeros(1).expand(10**6, 10**6)}),
        "declared larger than the file",
    ),
    "weights that are not finite": (weights(lambda all: all["model.head.weight"].fill_(torch.nan)), "not finite"),
    "altered weights": (lambda content: content["state_dict"]["model.head.bias"].add_(1), "their hash differs"),
    "no weights": (lambda content: content.pop("state_dict"), "was not written by lstm-readout"),
    "bytes by number": (lambda content: content.update(x=bytearray(8)), "builtins.bytearray"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_wrong_is_one_line(name, content, tmp_path):
    change, wanted = HOSTILE[name]
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
    assert read_checkpoint(path).config["data"] == {"name": "sample", "carry_state": True}


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


def test_a_task_that_no_configuration_has_is_one_line(content, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    content["hyper_parameters"]["task"] = "tag"
    with pytest.raises(SystemExit) as stop:
        predict.main([f"checkpoint={saved(content, tmp_path / 'a.ckpt')}", "text=a"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
