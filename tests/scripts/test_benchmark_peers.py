"""A peer that computes something else is no peer: at equal weights, each computes the framework's own loss."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from lstm_readout.data.batches import ClassifyBatch, TranslateBatch
from lstm_readout.models import Classifier, LanguageModel, Seq2Seq
from lstm_readout.tokenizer import BOS
from lstm_readout.tokenizer.ragged import Ragged

V, SIZES = 11, {"embedding_size": 5, "hidden_size": 7}


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "scripts"))
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)


def rows_of(*lengths: int) -> list[list[int]]:
    return [torch.randint(3, V, (length,)).tolist() for length in lengths]


def tensors(rows: list[list[int]], *first: int) -> list[torch.Tensor]:
    return [torch.tensor([*first, *row]) for row in rows]


def take(embedding: torch.nn.Embedding, rnn: torch.nn.LSTM, head: torch.nn.Linear | None, ours: Any) -> None:
    """Give a peer our weights; its padding token keeps its own."""
    embedding.weight.data[: ours.encoder.embedding.num_embeddings] = ours.encoder.embedding.weight.data
    rnn.load_state_dict(ours.encoder.lstm.rnn.state_dict())
    if head is not None:
        head.load_state_dict(ours.head.state_dict())


def assert_same(ours: torch.Tensor, theirs: torch.Tensor, model: Any, rnn: torch.nn.LSTM, lstm: Any) -> None:
    """The same loss, and the same gradient through the LSTM."""
    torch.testing.assert_close(theirs, ours)
    ours.backward()
    theirs.backward()
    torch.testing.assert_close(rnn.weight_hh_l0.grad, lstm.rnn.weight_hh_l0.grad)


@pytest.mark.parametrize(("packed", "lengths"), [(True, (3, 6, 1, 4)), (False, (5, 5, 5)), (True, (5, 5))])
def test_the_classifiers_loss_is_ours(packed, lengths):
    from benchmarks.peers import TutorialClassifier, padded

    rows, labels = rows_of(*lengths), torch.arange(len(lengths)) % 3
    ours, peer = Classifier(vocab_size=V, num_classes=3, **SIZES), TutorialClassifier(V, 3, packed=packed, **SIZES)
    take(peer.embedding, peer.rnn, peer.fc, ours)
    batch = ClassifyBatch.collate({"text": Ragged.from_lists(rows), "label": labels.numpy()}, np.arange(len(rows)))
    loss = torch.nn.functional.cross_entropy(ours(batch.token_ids), batch.labels)
    theirs = peer.loss(padded(tensors(rows), V), torch.tensor(lengths), labels)
    assert_same(loss, theirs, ours, peer.rnn, ours.encoder.lstm)


def test_the_padded_classifier_reads_padding_which_is_the_tutorials_mistake():
    from benchmarks.peers import TutorialClassifier, padded

    rows = rows_of(3, 6)
    peer = TutorialClassifier(V, 3, packed=False, **SIZES)
    alone = peer(padded(tensors(rows[:1]), V), torch.tensor([3]))
    together = peer(padded(tensors(rows), V), torch.tensor([3, 6]))[:1]
    assert not torch.allclose(alone, together, atol=1e-4)


@pytest.mark.parametrize("teacher_forcing", [1.0, None])
def test_the_translators_loss_is_ours_where_sources_are_of_one_length(teacher_forcing):
    from benchmarks.peers import TutorialDecoder, TutorialEncoder, TutorialSeq2Seq, padded

    sources, targets = rows_of(4, 4, 4), rows_of(2, 6, 3)
    ours = Seq2Seq(source_vocab_size=V, target_vocab_size=V, num_layers=2, **SIZES)
    sizes = {**SIZES, "num_layers": 2, "dropout": 0.0}
    peer = TutorialSeq2Seq(TutorialEncoder(V, **sizes), TutorialDecoder(V, **sizes), V, teacher_forcing)
    take(peer.encoder.embedding, peer.encoder.rnn, None, ours)
    take(peer.decoder.embedding, peer.decoder.rnn, peer.decoder.fc_out, ours.decoder)
    columns: Any = {"source": Ragged.from_lists(sources), "target": Ragged.from_lists(targets)}
    batch = TranslateBatch.collate({**columns, "target_text": np.array(["", "", ""])}, np.arange(3))
    loss = ours.loss(batch.source, batch.target_inputs, batch.targets)
    theirs = peer.loss(padded(tensors(sources), V), padded(tensors(targets, BOS), V))
    assert_same(loss, theirs, ours, peer.encoder.rnn, ours.encoder.lstm)


def test_a_decoder_that_is_not_forced_reads_what_it_wrote():
    from benchmarks.peers import TutorialDecoder, TutorialEncoder, TutorialSeq2Seq, padded

    sizes = {**SIZES, "num_layers": 1, "dropout": 0.0}
    model = TutorialSeq2Seq(TutorialEncoder(V, **sizes), TutorialDecoder(V, **sizes), V, 0.0)
    source, target = padded(tensors(rows_of(3)), V), padded(tensors(rows_of(5), BOS), V)
    logits = model(source, target)
    written = torch.cat((target[:1], logits.argmax(-1)))  # what it wrote, taken for the target
    model.teacher_forcing = 1.0
    torch.testing.assert_close(model(source, written), logits)


def test_the_word_language_models_loss_is_ours_and_its_state_goes_on():
    from benchmarks.peers import WordLanguageModel

    ours, peer = LanguageModel(vocab_size=V, num_layers=2, **SIZES), WordLanguageModel(V, 5, 7, 2, 0.0)
    take(peer.encoder, peer.rnn, peer.decoder, ours)
    text, state, theirs = torch.randint(3, V, (9, 4)), None, None
    for start in (0, 4):
        window, targets = text[start : start + 4], text[start + 1 : start + 5].reshape(-1)
        packed = PackedSequence(window.reshape(-1), torch.full((4,), 4))
        loss, state = ours.loss(packed, targets, state)
        peer_loss, theirs = peer.loss(window, targets, theirs)
        state = state.detach()
    assert_same(loss, peer_loss, ours, peer.rnn, ours.encoder.lstm)  # pyright: ignore


SMALL = {
    "translate": ("task=translate", "tokenizer.vocab_size=40"),
    "classify": ("task=classify", "tokenizer.vocab_size=40"),
    "wordlm": ("task=generate", "data.carry_state=true", "data.window=5", "tokenizer.vocab_size=40"),
}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("translate", {"teacher_forcing": 0.5}),
        ("translate", {"teacher_forcing": None}),
        ("classify", {"packed": True}),
        ("classify", {"packed": False}),
        ("wordlm", {}),
    ],
)
def test_both_sides_of_a_step_train_and_count_the_same_real_tokens(name, options):
    """Over an epoch's worth of rows: in other batches, the same tokens."""
    from benchmarks import steps, tutorials

    data = ("data=sample", "data.batch_size=4", "data.max_rows=16", "data.cache=false", *SMALL[name])
    sizes = {"embedding_size": 4, "hidden_size": 4}
    if name != "classify":
        sizes |= {"num_layers": 2, "dropout": 0.1}
    ours = steps.ours(data=data, sizes=sizes, ours_only=steps.CASES[name].ours_only, clip=1.0)
    peer = getattr(tutorials, name)(data=data, sizes=sizes, **options)
    windows = 4  # rows of 4: all 16 rows; of a stream as many windows
    assert sum(ours() for _ in range(windows)) == sum(peer() for _ in range(windows)) > 0


def test_cases_are_the_same_for_both_sides():
    from benchmarks.steps import CASES

    for case in CASES.values():
        assert not any(override.startswith(("data", "tokenizer")) for override in case.ours_only)


def test_layouts_of_the_engine_read_the_same_real_tokens():
    from benchmarks import engine

    lengths = [[3, 9, 5], [2, 2, 2]]
    sides = {
        layout: engine.lstm(layout, lengths, hidden_size=4, num_layers=2, bidirectional=True)
        for layout in ("ours", "packed", "padded", "dense")
    }
    assert {layout: [side(), side(), side()] for layout, side in sides.items()} == {
        layout: [17, 6, 17] for layout in sides
    }
    assert engine.products([[7] * 3], hidden_size=4)() == 21
    dense = engine._batch("dense", lengths[0], 4)
    assert tuple(dense.data.shape) == (6, 3, 4)  # as many rows, of their mean length


def test_padded_and_packed_layouts_hold_the_rows():
    from benchmarks import engine

    packed = engine._batch("packed", [2, 5], 3)
    assert isinstance(packed, PackedSequence)
    assert pad_packed_sequence(packed)[1].tolist() == [5, 2]
    assert tuple(engine._batch("padded", [2, 5], 3).data.shape) == (5, 2, 3)


def test_the_slower_peer_is_left_out_and_the_faster_one_counts():
    from benchmarks.grid import Cell, against_best

    class Known:
        def bind(self, side, layout, **arguments):
            speed = {"ours": 8.0, "padded": 10.0, "packed": 3.0}[layout]
            return lambda seconds: speed

    result = against_best(Known(), 1, Cell("equal", 4, 2), [[3, 3]], least=2, budget=0)  # pyright: ignore
    assert result.ratio == pytest.approx(0.8)
    assert set(result.more["units_per_second"]) == {"ours", "padded"}


def test_steps_of_writing_are_those_of_the_calls():
    from benchmarks.decoding import STEPS, beams, calling, stepping

    assert stepping(8, V)() == calling(8, V)() == STEPS
    lengths = [(3, 2), (5, 4), (2, 2), (4, 6)]
    assert beams(lengths, 4, 8, V)() == 4
    assert list(islice(iter(beams(lengths, 1, 8, V), None), 4)) == [1, 1, 1, 1]
