"""The controls make the mistakes that they are named for, and only those."""

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import PackedSequence, pack_sequence, pad_sequence

from lstm_readout.compare.controls import LastStepTask, PaddedClassifier, ResetTask, StartFrom
from lstm_readout.data.batches import GenerateBatch
from lstm_readout.models import Classifier, LanguageModel, Seq2Seq
from lstm_readout.nn.lstm import LSTMState
from lstm_readout.tasks import GenerateTask
from lstm_readout.tokenizer import TextTokenizer, Vocabulary

SIZES = {"embedding_size": 5, "hidden_size": 4}


def twins(right, wrong, **arguments):
    """Return both models with the same weights."""
    models = right(**arguments).eval(), wrong(**arguments).eval()
    models[1].load_state_dict(models[0].state_dict())
    return models


@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_padded_classifier_reads_output_behind_the_padding(bidirectional):
    model = PaddedClassifier(vocab_size=9, num_classes=3, bidirectional=bidirectional, **SIZES).eval()
    rows = [torch.tensor([3, 4, 5, 6]), torch.tensor([7, 8])]
    vectors = pad_sequence([model.encoder.embedding(row) for row in rows])  # zeros behind the second row
    output, _ = model.encoder.lstm.rnn(vectors)
    torch.testing.assert_close(model(pack_sequence(rows)), model.head(output[-1]))


def test_without_padding_the_padded_classifier_is_right():
    right, wrong = twins(Classifier, PaddedClassifier, vocab_size=9, num_classes=3, **SIZES)
    even = pack_sequence([torch.tensor([3, 4, 5]), torch.tensor([7, 8, 3])])
    torch.testing.assert_close(wrong(even), right(even))
    uneven = pack_sequence([torch.tensor([3, 4, 5]), torch.tensor([7])])
    assert torch.allclose(wrong(uneven)[0], right(uneven)[0], atol=1e-6)
    assert not torch.allclose(wrong(uneven)[1], right(uneven)[1], atol=1e-3)


def test_of_two_directions_the_last_step_has_a_backward_half_that_read_one_token():
    right, wrong = twins(Classifier, PaddedClassifier, vocab_size=9, num_classes=3, bidirectional=True, **SIZES)
    even = pack_sequence([torch.tensor([3, 4, 5]), torch.tensor([7, 8, 3])])
    assert not torch.allclose(wrong(even), right(even), atol=1e-3)


@pytest.mark.parametrize("start", ["h", "c", "zeros", "top"])
def test_the_decoder_gets_only_the_part_that_is_named(start):
    sizes = {"source_vocab_size": 9, "target_vocab_size": 8, "num_layers": 2, **SIZES}
    right = Seq2Seq(**sizes).eval()
    wrong = StartFrom(start=start, **sizes).eval()
    wrong.load_state_dict(right.state_dict())
    source = pack_sequence([torch.tensor([3, 4, 5, 6]), torch.tensor([7, 8])])
    whole, part = right.encode(source), wrong.encode(source)
    if start == "top":
        torch.testing.assert_close(part.h, whole.h[[1, 1]])
        torch.testing.assert_close(part.c, whole.c[[1, 1]])
    else:
        torch.testing.assert_close(part.h, whole.h if start == "h" else torch.zeros_like(whole.h))
        torch.testing.assert_close(part.c, whole.c if start == "c" else torch.zeros_like(whole.c))


def test_the_top_layer_of_two_directions_keeps_its_directions():
    sizes = {"source_vocab_size": 9, "target_vocab_size": 8, "num_layers": 3, "bidirectional": True, **SIZES}
    model, whole = StartFrom(start="top", **sizes), Seq2Seq(**sizes)
    whole.load_state_dict(model.state_dict())
    source = pack_sequence([torch.tensor([3, 4, 5, 6]), torch.tensor([7, 8])])
    h = whole.encoder.read(source).h_n
    torch.testing.assert_close(model.encoder.read(source).h_n, h[[4, 5, 4, 5, 4, 5]])


def generate_task(kind):
    tokenizer = TextTokenizer.train(["abcde"], kind="char")
    model = LanguageModel(vocab_size=len(tokenizer), **SIZES)
    return kind(model=model, vocabulary=Vocabulary({"text": tokenizer}, []))


def window(continues):
    inputs = PackedSequence(torch.tensor([3, 4, 5, 6, 7, 3, 4]), torch.tensor([3, 2, 2]))
    return GenerateBatch(inputs, torch.tensor([4, 5, 6, 7, 3, 4, 5]), continues=continues)


def test_the_last_step_alone_is_learned_from_and_every_step_measured():
    task, right = generate_task(LastStepTask), generate_task(GenerateTask)
    right.load_state_dict(task.state_dict())
    batch = window(continues=False)
    loss, number = task.loss(batch, "train")
    logits = task.model(batch.inputs).logits.data
    torch.testing.assert_close(loss, cross_entropy(logits[-2:], batch.targets[-2:]))
    assert number == 2
    torch.testing.assert_close(task.loss(batch, "test")[0], right.loss(batch, "test")[0])
    right.loss(batch, "train")
    for mine, other in zip(task.carried["train"], right.carried["train"], strict=True):
        torch.testing.assert_close(mine, other)


def test_the_reset_task_forgets_between_windows():
    task, right = generate_task(ResetTask), generate_task(GenerateTask)
    right.load_state_dict(task.state_dict())
    past = LSTMState(torch.ones(1, 3, 4), torch.ones(1, 3, 4))
    task.carried["train"] = right.carried["train"] = past
    anew, carried = task.loss(window(continues=True), "train")[0], right.loss(window(continues=True), "train")[0]
    assert not torch.allclose(anew, carried)
    torch.testing.assert_close(anew, right.loss(window(continues=False), "train")[0])
