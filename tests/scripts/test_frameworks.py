"""The page of frameworks says what the record says, and the probes tell a right module from a wrong one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
try:
    import frameworks
    from probes.base import LENGTHS, VOCABULARY, Reader, Translator, findings, padded
finally:
    sys.path.remove(str(ROOT / "scripts"))


class Classifier(nn.Module):
    def __init__(self, packed, bidirectional=False):
        super().__init__()
        self.packed = packed
        self.embedding = nn.Embedding(VOCABULARY, 8)
        self.lstm = nn.LSTM(8, 16, batch_first=True, bidirectional=bidirectional)
        self.head = nn.Linear(32 if bidirectional else 16, 3)

    def forward(self, token_ids, lengths):
        embedded = self.embedding(token_ids)
        if not self.packed:
            return self.head(self.lstm(embedded)[0][:, -1])
        steps = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
        return self.head(self.lstm(steps)[1][0].transpose(0, 1).flatten(1))


class Seq2Seq(nn.Module):
    def __init__(self, packed):
        super().__init__()
        self.packed = packed
        self.embedding = nn.Embedding(VOCABULARY, 8)
        self.encoder, self.decoder = (nn.LSTM(8, 16, batch_first=True) for _ in range(2))
        self.head = nn.Linear(16, VOCABULARY)

    def forward(self, source_ids, source_lengths, target_ids, target_lengths):
        source = self.embedding(source_ids)
        if self.packed:
            source = pack_padded_sequence(source, source_lengths, batch_first=True, enforce_sorted=False)
        return self.head(self.decoder(self.embedding(target_ids), self.encoder(source)[1])[0])


def call(module, *given):
    return module(*given)


def record():
    return json.loads(frameworks.RECORD.read_text(encoding="utf-8"))


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_packed_classifier_passes(bidirectional):
    found = findings(Reader(Classifier(True, bidirectional), call, 1))
    assert found["failed"] == []
    assert found["alone"] < 1e-5


@pytest.mark.parametrize(("bidirectional", "failed"), [(False, ["padding"]), (True, ["padding", "directions"])])
def test_a_classifier_that_reads_padding_is_found(bidirectional, failed):
    found = findings(Reader(Classifier(False, bidirectional), call, 1))
    assert found["failed"] == failed
    assert found["alone"] > 1e-3


def test_a_translator_is_found_by_the_padding_of_its_source():
    right, wrong = (findings(Translator(Seq2Seq(packed), call, 1)) for packed in (True, False))
    assert (right["failed"], wrong["failed"]) == ([], ["source_padding"])
    assert right["alone"] < 1e-5 < 1e-3 < wrong["alone"]


def test_the_batch_is_padded_on_the_right_with_the_padding_of_the_framework():
    token_ids, lengths = padded(2)
    assert lengths.tolist() == list(LENGTHS)
    real = torch.arange(token_ids.shape[1]) < lengths.unsqueeze(1)
    assert torch.equal(token_ids != 2, real)


def test_the_page_has_the_table_of_the_record():
    page = frameworks.PAGE.read_text(encoding="utf-8")
    assert frameworks.table(record()) in page
    assert frameworks.with_table(page, record()) == page


def test_the_record_is_of_the_pinned_versions():
    pins = yaml.safe_load(frameworks.PINS.read_text(encoding="utf-8"))
    for name, row in record().items():
        for key in ("title", "version", "released", "checked"):
            assert row[key] == str(pins[name][key])
        assert all("==" in requirement for requirement in pins[name]["requires"])


def test_the_doctor_and_the_check_by_hand_agree():
    for row in record().values():
        for found in row.get("variants", {}).values():
            reads_padding = any(check.endswith("padding") for check in found["failed"])
            assert (found["alone"] > 1e-3) == reads_padding
            assert reads_padding or found["failed"] == []


def test_a_failed_installation_fills_its_row(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    pin = {"title": "None", "version": "1", "released": "2026-01-01", "checked": "none", "requires": ["no_such==1"]}
    row = frameworks.row_of("none", pin)
    assert "variants" not in row
    assert "no_such" in row["failure"]
    assert "not examined" in frameworks.table({"none": row})
