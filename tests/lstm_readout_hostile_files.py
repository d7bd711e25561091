"""Files that a stranger could send, each with what is said of it: for the tests, and for ``scripts/hostile.py``."""

import json

import torch

from lstm_readout.models import Classifier
from lstm_readout.models.checkpoint import hyper_parameters
from lstm_readout.models.weights_digest import digest
from lstm_readout.tokenizer import TextTokenizer, Vocabulary


def good_checkpoint():
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
CHECKPOINTS = {  # name -> (how a good checkpoint becomes this one, a part of what is said)
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
    "a label with half a character": (
        change("vocabulary", "labels", ["a", "\ud800"]),
        "labels: wanted different texts",
    ),
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

OVERRIDES = {  # what a run folder records -> a part of what is said
    "+callbacks.x={_target_: torch.load, f: notes.bin, weights_only: false}": "runs torch.load",
    "optimizer._target_=os.system": "runs os.system",
    "+callbacks.x={_target_: lstm_readout.report.json_writer.write_json, path: a}": "runs lstm_readout.report",
    "+callbacks.x={_target_: lightning.pytorch.callbacks.LambdaCallback, setup: {_target_: os.abort}}": "os.abort",
    "+callbacks.x=[{_target_: os.system}]": "runs os.system",
    "callbacks.best._args_=[/etc]": "sets _args_",
    "+callbacks.x='${oc.create:{_target_: os.system}}'": "interpolation",
    "+callbacks.x='${a:${b}}'": "interpolation",
    "hydra.run.dir=/etc": "sets Hydra itself",
    "hydra/job_logging=evil": "sets Hydra itself",
    "+data@hydra.job_logging=evil": "sets Hydra itself",
    "hydra.searchpath=[evil]": "sets Hydra itself",
    "--config-dir=evil": "not an override",
    "task=../../evil": "names ../../evil, outside",
    "experiment=/evil": "names /evil, outside",
    "callbacks.best.dirpath=/etc": "writes to /etc",
    "callbacks.best.filename=../../../x": "outside of the folder",
    "logger={csv: {name: ../x}}": "outside of the folder",
    "trainer.default_root_dir=x": "writes to x",
    "trainer.x=" + "{a:" * 3000 + "}" * 3000: "not an override",
    "no override": "not an override",
}
