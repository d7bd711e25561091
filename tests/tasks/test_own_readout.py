"""A readout of a reader's own: in training, in a checkpoint, and where its name is misspelled."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from lightning import Trainer
from omegaconf import OmegaConf
from torch.nn.utils.rnn import pack_sequence

from lstm_readout import DocumentClassifier
from lstm_readout.config.check import check_targets
from lstm_readout.errors import UserError
from lstm_readout.models import Classifier
from lstm_readout.nn.readout import READOUTS, Readout
from lstm_readout.tasks import ClassifyTask
from lstm_readout.tokenizer import TextTokenizer, Vocabulary


class BothEnds(Readout):
    expression = "cat({h_lowest}, {h_top})"
    sentence = "the lowest layer beside the top layer, each {at_its_end}"
    h_n = ("lowest layer", "top layer")
    plain = ("document = torch.cat(({h_lowest}, {h_top}), dim=-1)",)

    def forward(self, lstm):
        return torch.cat((self.lowest(lstm.h_n), self.top(lstm.h_n)), dim=-1)


class OwnClassifier(Classifier):
    readouts: ClassVar = READOUTS | {"both_ends": BothEnds}


class OwnTask(ClassifyTask):
    name = "own"
    model_type = OwnClassifier


class OwnPipeline(DocumentClassifier):
    task = "own"
    model_type = OwnClassifier


def own_task():
    tokenizer = TextTokenizer.train(["good bad"])
    model = OwnClassifier(
        vocab_size=len(tokenizer), num_classes=2, embedding_size=4, hidden_size=5, num_layers=2, readout="both_ends"
    )
    return OwnTask(model=model, vocabulary=Vocabulary({"text": tokenizer}, ["no", "yes"]))


def test_a_checkpoint_holds_its_name_and_the_readers_class_reads_it(tmp_path):
    task = own_task()
    trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    trainer.strategy.connect(task)
    trainer.save_checkpoint(tmp_path / "own.ckpt")
    values = torch.load(tmp_path / "own.ckpt", weights_only=True)["hyper_parameters"]
    assert values["model"]["readout"] == "both_ends"
    assert __name__ not in str(values)
    again, pipeline = (
        OwnTask.load_from_checkpoint(tmp_path / "own.ckpt").eval(),
        OwnPipeline.load(tmp_path / "own.ckpt"),
    )
    ids = pack_sequence([torch.tensor([3, 4, 2])])
    assert torch.equal(again.model(ids), task.eval().model(ids))
    assert torch.equal(pipeline.model(ids), task.model(ids))
    with pytest.raises(UserError, match="was trained for task=own, not for classify"):
        DocumentClassifier.load(tmp_path / "own.ckpt")


def test_the_run_names_what_it_reads():
    ids = pack_sequence([torch.tensor([3, 4, 2]), torch.tensor([3, 2])])
    told = own_task().describe_readout(type("Batch", (), {"token_ids": ids}))
    assert told == (
        "this task reads cat(h_n[0], h_n[-1]): the lowest layer beside the top layer, each after its last real token; "
        "(batch, features) = (2, 10)"
    )


@pytest.mark.parametrize(
    ("target", "name", "message"),
    [
        (
            OwnClassifier,
            "both_end",
            r"model\.readout: got 'both_end'\. Did you mean 'both_ends'\? Valid: attention, ",
        ),
        (Classifier, "both_ends", r"model\.readout: got 'both_ends'\. Valid: attention, cell"),
        (Classifier, "meen", r"model\.readout: got 'meen'\. Did you mean 'mean'\?"),
    ],
)
def test_a_misspelled_name_is_refused_before_anything_is_read(target, name, message):
    path = f"{target.__module__}.{target.__qualname__}"
    with pytest.raises(UserError, match=message):
        check_targets(OmegaConf.create({"model": {"_target_": path, "readout": name}}))
    check_targets(OmegaConf.create({"model": {"_target_": path, "readout": "mean"}}))
