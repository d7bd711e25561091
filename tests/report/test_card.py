"""The comparability card: its hashes against the formula written out, and what it leaves out."""

import hashlib
import json
import shutil
import socket
from pathlib import Path

import pytest
import torch
from datasets import Dataset

from lstm_readout.commands.evaluate import main as evaluate
from lstm_readout.commands.train import main as train
from lstm_readout.data.batches import ClassifyBatch
from lstm_readout.data.module import TextDataModule
from lstm_readout.data.row_hashes import corpus_hash, split_hash
from lstm_readout.report.card import corpus_of, unit_of, without_folders
from lstm_readout.tokenizer import Vocabulary

ROLES = {"text": "text", "label": "label"}
SMALL = ["model.hidden_size=8", "model.embedding_size=8", "trainer.max_epochs=1", "doctor=off"]


def rows(*texts):
    return Dataset.from_dict({"text": list(texts)})


def cell(text):
    return len(text.encode()).to_bytes(8, "little") + text.encode()


def test_a_split_is_hashed_as_its_rows_with_their_lengths():
    table = Dataset.from_dict({"source": ["ab", ""], "target": ["é", "c"]})
    wanted = hashlib.sha256(cell("ab") + cell("é") + cell("") + cell("c")).hexdigest()
    assert split_hash(table) == wanted
    assert split_hash(rows("ab", "c")) != split_hash(rows("a", "bc"))  # where a row ends counts
    assert split_hash(rows("a", "b")) != split_hash(rows("b", "a"))  # and the order


def test_the_hash_of_a_corpus_does_not_change_with_the_rows_that_are_held_out():
    one = corpus_hash({"train": rows("a", "b", "c"), "test": rows("d")})
    other = corpus_hash({"train": rows("d", "a", "c"), "test": rows("b")})
    digests = sorted(hashlib.sha256(cell(text)).digest() for text in "abcd")
    assert one == other == hashlib.sha256(b"".join(digests)).hexdigest()
    assert one != corpus_hash({"train": rows("a", "b", "c", "d"), "test": rows("d")})  # a row twice


def test_two_seeds_hold_out_other_rows_of_the_same_corpus(tmp_path):
    for name, number in (("train", 60), ("test", 20)):
        lines = [f"{name} {i} é,{'yes' if i % 3 else 'no'}" for i in range(number)]
        Path(tmp_path, f"{name}.csv").write_text("text,label\n" + "\n".join(lines) + "\n", encoding="utf-8")
    one, other = (
        corpus_of(TextDataModule(roles=ROLES, batch_type=ClassifyBatch, name="files", path=str(tmp_path), seed=seed))
        for seed in (0, 1)
    )
    assert one["sha256"] == other["sha256"]
    assert one["splits"]["test"] == other["splits"]["test"]
    assert one["splits"]["train"]["sha256"] != other["splits"]["train"]["sha256"]
    test = b"".join(cell(f"test {i} é") + cell("yes" if i % 3 else "no") for i in range(20))
    assert one["splits"]["test"] == {"rows": 20, "sha256": hashlib.sha256(test).hexdigest()}
    assert [part["rows"] for part in one["splits"].values()] == [54, 6, 20]
    assert one["columns"] == {"text": "text", "label": "label"}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("data.path=/home/someone/corpora/a.csv", "data.path=a.csv"),
        ("data.path='/home/some one/a.csv'", "data.path='a.csv'"),
        ("vectors.path=~/glove.txt", "vectors.path=glove.txt"),
        ("vectors.path=~someone/glove.txt", "vectors.path=glove.txt"),
        ("init_from=/home/someone/runs/", "init_from=runs/"),
        ("data.files.train={source:/x/a.de, target: /x/y/a.en}", "data.files.train={source:a.de, target: a.en}"),
        (r"data.path=C:\Users\someone\a.csv", "data.path=a.csv"),
        ("file:///home/someone/a.csv", "a.csv"),
        ("data.path=corpora/a.csv", "data.path=corpora/a.csv"),
        ("task.monitor=val/loss", "task.monitor=val/loss"),
        ("yes / no", "yes / no"),
    ],
)
def test_of_a_path_the_folders_are_left_out(given, kept):
    assert without_folders({"a": [given]}) == {"a": [kept]}


@pytest.mark.parametrize(
    ("name", "task", "unit"),
    [
        ("val/loss", "generate", "nats per token"),
        ("val/loss_fresh_256", "generate", "nats per token"),
        ("baseline/unigram_loss", "generate", "nats per token"),
        ("test/loss", "classify", "nats per row"),
        ("test/bits_per_byte", "generate", "bits per byte"),
        ("test/accuracy", "classify", "share of the rows, 0 to 1"),
        ("baseline/copy_source_bleu", "translate", "0 to 100, cased, detokenised"),
        ("test/bleu_lowercase", "translate", "0 to 100, lower-cased, detokenised"),
        ("train/seconds", "classify", None),
        ("baseline/kneser_ney_order", "generate", None),
    ],
)
def test_every_metric_tells_its_unit(name, task, unit):
    assert unit_of(name, task) == unit


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("card")
    lines = [f"{'good' if i % 2 else 'bad'} film {i},{'yes' if i % 2 else 'no'}" for i in range(100)]
    (folder / "reviews.csv").write_text("text,label\n" + "\n".join(lines) + "\n", encoding="utf-8")
    data = ["data=files", f"data.path={folder / 'reviews.csv'}"]
    train(["task=classify", *data, "seed=3", *SMALL, f"hydra.run.dir={folder / 'run'}"])
    return folder / "run"


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_a_run_leaves_its_card(run):
    card, metrics = read(run / "card.json"), read(run / "metrics.json")
    assert card["overrides"] == ["task=classify", "data=files", "data.path=reviews.csv", "seed=3", *SMALL]
    assert (card["task"], card["seed"], card["corpus"]["name"]) == ("classify", 3, "files")
    assert [part["rows"] for part in card["corpus"]["splits"].values()] == [81, 10, 9]
    assert card["parameters"] == metrics["parameters"]
    assert card["seconds"] >= metrics["train/seconds"]
    assert card["units"]["test/accuracy"] == "share of the rows, 0 to 1"
    assert card["device"] == {
        "kind": "cpu",
        "name": torch.backends.cpu.get_cpu_capability(),
        "processes": 1,
        "threads": torch.get_num_threads(),
        "precision": "32-true",
    }
    assert card["versions"]["torch"] == torch.__version__
    assert card["config"]["model"]["hidden_size"] == 8
    assert card["config"]["data"]["path"] == "reviews.csv"
    saved = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["hyper_parameters"]["vocabulary"]
    tokenizer = Vocabulary.from_dict(saved).tokenizers["text"]
    told = json.dumps(tokenizer.to_dict(), sort_keys=True, ensure_ascii=False).encode()
    wanted = {"kind": "word", "ids": len(tokenizer), "sha256": hashlib.sha256(told).hexdigest()}
    assert card["tokenizers"] == {"text": wanted}


def test_a_card_names_no_folder_and_no_machine(run):
    text = (run / "card.json").read_text(encoding="utf-8")
    assert str(run.parent) not in text
    assert '"/' not in text
    assert str(Path.home()) not in text
    assert socket.gethostname() not in text


@pytest.mark.filterwarnings("ignore:The dirpath has changed")  # the folder is copied here
def test_a_resumed_run_does_not_pretend_to_know_its_time(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    train([f"resume={tmp_path / 'run'}", "trainer.max_epochs=2"])
    card = read(tmp_path / "run" / "card.json")
    assert card["seconds"] is None
    assert not [one for one in card["overrides"] if one.startswith("resume=")]


def test_what_evaluate_measures_has_a_card_of_its_own(run, tmp_path):
    output = tmp_path / "scores.json"
    evaluate([f"checkpoint={run / 'checkpoints' / 'best.ckpt'}", f"output={output}"])
    card, of_run = read(tmp_path / "scores.card.json"), read(run / "card.json")
    for key in ("corpus", "tokenizers", "parameters", "seed", "versions"):
        assert card[key] == of_run[key], key
    assert card["units"]["test/accuracy"] == of_run["units"]["test/accuracy"]
    assert card["config"]["split"] == "test"
    assert card["config"]["model"]["hidden_size"] == 8
    assert card["overrides"][1:] == ["checkpoint=best.ckpt", "output=scores.json"]
