"""A beam finds what trying every text finds, and says what teacher forcing says of it."""

from __future__ import annotations

from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_sequence

from lstm_readout import LSTMState, Translator
from lstm_readout.commands.evaluate import main as evaluate
from lstm_readout.commands.predict import main as predict
from lstm_readout.commands.train import main as train
from lstm_readout.data.batches import TranslateBatch
from lstm_readout.errors import UserError
from lstm_readout.inference.decoding import Hypothesis, beam_search, forced_scores, greedy, translate
from lstm_readout.models import LanguageModel, Seq2Seq
from lstm_readout.tasks import TranslateTask
from lstm_readout.tokenizer import BOS, EOS, UNK, TextTokenizer, Vocabulary

H = 12
SHAPES: list[dict[str, Any]] = [
    {},
    {"num_layers": 2},
    {"proj_size": 5},
    {"cell": "gru", "batch_first": True},
    {"cell": "rnn", "num_layers": 2},
]


def build(vocab_size: int = 8, scale: float = 2.0, **arguments: Any) -> LanguageModel:
    """Make a model that writes texts of many lengths: with large weights every state has a next token of its own."""
    model = LanguageModel(vocab_size=vocab_size, embedding_size=4, hidden_size=H, **arguments).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=scale)
    return model


def states(model: LanguageModel, batch: int) -> LSTMState:
    rnn = model.encoder.lstm.rnn
    h = torch.randn(rnn.num_layers, batch, rnn.proj_size or H, dtype=torch.float64)
    c = torch.randn(rnn.num_layers, batch, H, dtype=torch.float64)
    return LSTMState(h, c if model.encoder.lstm.cell == "lstm" else None)


def ids_of(found: list[list[Hypothesis]]) -> list[list[list[int]]]:
    return [[hypothesis.token_ids for hypothesis in one] for one in found]


def assert_same(ours: list[Hypothesis], theirs: list[Hypothesis]) -> None:
    assert ids_of([ours]) == ids_of([theirs])
    assert [h.score for h in ours] == pytest.approx([h.score for h in theirs], abs=1e-9)


@torch.no_grad()
def score_by_hand(model: LanguageModel, state: LSTMState, ids: tuple[int, ...], max_length: int) -> float:
    """Add up log probabilities of one text, with ``<eos>`` unless max_length cuts it."""
    axis = 0 if model.encoder.lstm.rnn.batch_first else 1
    logits = model(torch.tensor([BOS, *ids]).unsqueeze(axis), state).logits.flatten(0, 1)
    wanted = [*ids, EOS] if len(ids) < max_length else list(ids)
    return sum(float(logits[t].log_softmax(-1)[token_id]) for t, token_id in enumerate(wanted))


@given(st.integers(0, 2**16), st.sampled_from(SHAPES), st.sampled_from([0.1, 1.0, 3.0, 300.0]), st.integers(0, 9))
def test_a_beam_of_one_writes_what_greedy_writes(seed, shape, scale, max_length):
    torch.manual_seed(seed)
    model = build(scale=scale, **shape)
    state = states(model, 6)
    found = beam_search(model, state, 1, max_length, length_penalty=1.0)
    assert ids_of(found) == [[ids] for ids in greedy(model, state, max_length)]


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0, 2.0])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_beam_that_is_wide_enough_finds_every_text_in_order(shape, length_penalty):
    model, longest = build(vocab_size=5, scale=1.0, **shape), 3
    state = states(model, 4)
    found = beam_search(model, state, 3**longest, longest, length_penalty=length_penalty)
    for row, hypotheses in enumerate(found):
        expected = []
        for length in range(longest + 1):
            for ids in product((3, 4), repeat=length):
                score = score_by_hand(model, state.rows(slice(row, row + 1)), ids, longest)
                scored = min(length + 1, longest)  # <eos> counts, where it was written
                expected.append((score / scored**length_penalty, Hypothesis(list(ids), score)))
        expected.sort(key=lambda pair: -pair[0])
        assert_same(hypotheses, [hypothesis for _, hypothesis in expected])


@given(st.integers(0, 2**16), st.sampled_from(SHAPES), st.integers(1, 7), st.sampled_from([0.3, 2.0, 300.0]))
def test_scores_are_those_of_teacher_forcing_and_the_best_stands_first(seed, shape, beam_size, scale):
    torch.manual_seed(seed)
    model = build(scale=scale, **shape)
    with torch.no_grad():
        model.head.bias[[UNK, BOS]] += scale  # never chosen, but they have their share of probability
        model.head.bias[EOS] += scale
    state = states(model, 5)
    for row, hypotheses in enumerate(beam_search(model, state, beam_size, 8)):
        assert 1 <= len(hypotheses) <= beam_size
        texts = [hypothesis.token_ids for hypothesis in hypotheses]
        assert len({tuple(ids) for ids in texts}) == len(texts)
        assert not {UNK, BOS, EOS} & {token_id for ids in texts for token_id in ids}
        assert all(first.score >= second.score for first, second in pairwise(hypotheses))
        ended = [hypothesis for hypothesis in hypotheses if len(hypothesis.token_ids) < 8]
        alone = state.rows(torch.full((len(ended),), row))
        if ended:
            forced = forced_scores(model, alone, [hypothesis.token_ids for hypothesis in ended])
            assert forced.tolist() == pytest.approx([hypothesis.score for hypothesis in ended], rel=1e-9, abs=1e-9)


def test_forced_scores_are_those_of_each_text_alone():
    model = build(num_layers=2)
    state, texts = states(model, 4), [[3, 4, 5], [], [7, 7, 7, 7, 7], [6]]
    by_hand = [score_by_hand(model, state.rows(slice(i, i + 1)), tuple(ids), 99) for i, ids in enumerate(texts)]
    assert forced_scores(model, state, texts).tolist() == pytest.approx(by_hand, abs=1e-9)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_text_s_hypotheses_do_not_depend_on_the_others(shape):
    model = build(**shape)
    state, limits = states(model, 20), [0, 1, 2, 5, 12] * 4
    together = beam_search(model, state, 4, limits, length_penalty=0.7)
    assert len({len(one[0].token_ids) for one in together}) > 3
    for i, limit in enumerate(limits):
        (alone,) = beam_search(model, state.rows(slice(i, i + 1)), 4, limit, length_penalty=0.7)
        assert_same(together[i], alone)


def test_complete_hypotheses_leave_the_batch():
    model, batches = build(), []
    with torch.no_grad():
        model.head.bias[EOS] += 4
    state = states(model, 30)
    with model.encoder.register_forward_pre_hook(lambda _, inputs: batches.append(inputs[0].numel())):
        found = beam_search(model, state, 3, 12)
    lengths = [len(ids) for one in ids_of(found) for ids in one]
    assert len(lengths) == 90
    # From the second step on each text has all its places: those still writing at a step are those not complete by then
    assert batches == [30, *(sum(length >= step for length in lengths) for step in range(1, len(batches)))]
    assert batches[-1] < 30


def test_a_text_that_ends_at_once_is_empty():
    model = build()
    with torch.no_grad():
        model.head.bias[EOS] = 1e4
    for hypotheses in beam_search(model, states(model, 3), 3, 5):
        assert hypotheses[0] == Hypothesis([], 0.0)
        assert len(hypotheses) == 3


@pytest.mark.parametrize("max_length", [0, 1, 5])
def test_what_max_length_cuts_is_returned_without_the_score_of_an_end(max_length):
    model = build()
    with torch.no_grad():
        model.head.bias[EOS] = -1e4  # would never stop
    state = states(model, 4)
    for row, hypotheses in enumerate(beam_search(model, state, 2, max_length)):
        assert {len(hypothesis.token_ids) for hypothesis in hypotheses} == {max_length}
        for ids, score in hypotheses:
            by_hand = score_by_hand(model, state.rows(slice(row, row + 1)), tuple(ids), max_length)
            assert score == pytest.approx(by_hand, abs=1e-9)


def test_extreme_logits_in_float32_leave_scores_finite():
    model = build(scale=1e4).float()
    state = LSTMState(*(part.float() for part in states(model, 8) if part is not None))
    found = beam_search(model, state, 5, 10)
    assert ids_of(found) == ids_of([beam_search(model, state.rows(slice(i, i + 1)), 5, 10)[0] for i in range(8)])
    assert all(np.isfinite(hypothesis.score) for one in found for hypothesis in one)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"beam_size": 0}, "beam_size: wanted 1 or more, got 0"),
        ({"length_penalty": -0.5}, r"length_penalty: wanted 0 or more, got -0\.5"),
        ({"length_penalty": float("nan")}, "length_penalty: wanted 0 or more, got nan"),
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(setting, message):
    language_model, (model, vocabulary) = build(), translator()
    with pytest.raises(UserError, match=message):
        beam_search(language_model, states(language_model, 1), **{"beam_size": 2, "max_length": 3, **setting})
    for refusing in (
        lambda: translate(model, sources(vocabulary, ["a"]), **setting),
        lambda: Translator(model, vocabulary, **setting),
        lambda: TranslateTask(model=model, vocabulary=vocabulary, **setting),
    ):
        with pytest.raises(UserError, match=message):
            refusing()


# Translation

TEXTS = ["a b c", "d", "", "b b b b a", "c d a", "d d"]


def translator() -> tuple[Seq2Seq, Vocabulary]:
    tokenizer = TextTokenizer.train(["a b c d"])
    sizes: dict[str, Any] = {"source_vocab_size": len(tokenizer), "target_vocab_size": len(tokenizer)}
    torch.manual_seed(3)
    model = Seq2Seq(**sizes, embedding_size=4, hidden_size=H).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.8)
    return model, Vocabulary({"source": tokenizer, "target": tokenizer}, [])


def sources(vocabulary: Vocabulary, texts: list[str]) -> Any:
    column, _ = vocabulary.tokenizers["source"].encode(texts)
    return pack_sequence([torch.from_numpy(column.row(i)).long() for i in range(len(texts))], enforce_sorted=False)


def test_a_translation_is_the_best_hypothesis_of_its_source_alone():
    model, vocabulary = translator()
    greedily, searched = (Translator(model, vocabulary, beam_size=size)(TEXTS) for size in (1, 4))
    assert greedily != searched
    for text, ours in zip(TEXTS, searched, strict=True):
        state = model.encode(sources(vocabulary, [text]))
        ((best, *_),) = beam_search(model.decoder, state, 4, 2 * (len(text.split()) + 1) + 20)
        assert ours == vocabulary.tokenizers["target"].decode(best.token_ids)
    assert Translator(model, vocabulary, beam_size=4)(TEXTS, max_length=1) != searched


def test_validation_is_greedy_and_the_test_split_takes_the_beam():
    model, vocabulary = translator()
    column, _ = vocabulary.tokenizers["source"].encode(TEXTS)
    columns = {"source": column, "target": column, "target_text": np.array(TEXTS, dtype=object)}
    batch = TranslateBatch.collate(columns, np.arange(len(TEXTS)))
    task = TranslateTask(model=model, vocabulary=vocabulary, beam_size=4)
    written = {}
    with torch.inference_mode():
        for stage in ("val", "test"):
            task.pairs = []
            task.measure(batch, stage)
            written[stage] = [translation for translation, _ in task.pairs]
    assert written["val"] == Translator(model, vocabulary)(TEXTS)
    assert written["test"] == Translator(model, vocabulary, beam_size=4)(TEXTS)


def test_the_commands_take_a_beam(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    train(
        [
            "task=translate",
            "task.beam_size=2",
            "debug=limited",
            "model.hidden_size=8",
            "data.max_rows=60",
            "hydra.run.dir=run",
        ]
    )
    checkpoint = "checkpoint=run/checkpoints/best.ckpt"
    predict([checkpoint, "text=a", "beam_size=3", "length_penalty=0.5"])
    for command, setting in ((predict, "beam_size=0"), (evaluate, "task.beam_size=0")):
        with pytest.raises(SystemExit) as stop:
            command([checkpoint, setting, *(["text=a"] if command is predict else [])])
        assert stop.value.code == 2
        assert "beam_size: wanted 1 or more, got 0" in capsys.readouterr().err
