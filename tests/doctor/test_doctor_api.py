"""What goes in is checked, nothing of the user's changes, and what comes out can be read."""

import copy
import json
import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import lstm_readout_broken_modules as modules
from lstm_readout import doctor
from lstm_readout.errors import UserError
from lstm_readout_broken_modules import HIDDEN, VOCABULARY

PAGE = (Path(__file__).parents[2] / "docs" / "do" / "doctor.md").read_text(encoding="utf-8")
LENGTHS = torch.tensor([6, 2, 4])


def ids():
    return torch.randint(1, VOCABULARY, (3, 6))


@pytest.mark.parametrize(
    ("token_ids", "lengths", "task", "text"),
    [
        ([[1, 2]], LENGTHS, "classify", "token_ids: wanted a Tensor, got a list"),
        (torch.ones(3, 6), LENGTHS, "classify", "token_ids: wanted int64 ids of shape (batch, steps), got torch.float"),
        (torch.ones(3, dtype=torch.int64), LENGTHS, "classify", "of shape (3,)"),
        (
            None,
            LENGTHS[:2],
            "classify",
            "lengths: wanted int64 of shape (batch,) = (3,), got torch.int64 of shape (2,)",
        ),
        (None, LENGTHS.float(), "classify", "lengths: wanted int64 of shape (batch,) = (3,), got torch.float32"),
        (None, torch.tensor([7, 2, 4]), "classify", "lengths: wanted 1 to 6 (the steps of token_ids), got 2 to 7"),
        (None, torch.tensor([0, 2, 4]), "classify", "got 0 to 4"),
        (None, torch.tensor([5, 5, 5]), "classify", "Give at least two rows of different length"),
        (torch.ones(3, 6, dtype=torch.int64), LENGTHS, "classify", "all real tokens are the same id"),
        (None, LENGTHS, "clasify", "task: there is no 'clasify'. Did you mean 'classify'?"),
        (None, LENGTHS, "translate", "Call doctor.check_translator"),
    ],
)
def test_input_of_another_kind_is_refused(token_ids, lengths, task, text):
    with pytest.raises(UserError, match=re.escape(text)):
        doctor.check(modules.LastState(), ids() if token_ids is None else token_ids, lengths, task=task)


def test_what_is_no_module_is_refused():
    with pytest.raises(UserError, match=re.escape("module: LastState is a class. Pass an instance: LastState(...).")):
        doctor.check(modules.LastState, ids(), LENGTHS)
    with pytest.raises(UserError, match=r"module: wanted an nn\.Module or a function, got a OrderedDict\."):
        doctor.check(modules.LastState().state_dict(), ids(), LENGTHS)
    with torch.inference_mode():
        module = modules.LastState()
    with pytest.raises(UserError, match=r"Pass the nn\.Module itself, of which a copy is made"):
        doctor.check(lambda token_ids, lengths: module(token_ids, lengths), ids(), LENGTHS)


def test_an_object_that_is_not_called_is_passed_to_the_adaptor():
    class Predictor:
        module = modules.LastStepOfPadding()

        def predict(self, token_ids, lengths):
            return self.module(token_ids, lengths)

    report = doctor.check(Predictor(), ids(), LENGTHS, adaptor=lambda object, *given: object.predict(*given))
    assert report.failed == ["padding"]


class OneInput(modules.LastState):
    def forward(self, token_ids):
        return super().forward(token_ids, torch.full((len(token_ids),), token_ids.shape[1]))


def test_a_module_with_another_signature_is_refused_and_an_adaptor_helps():
    with pytest.raises(UserError, match=r"module\(token_ids, lengths\) raised TypeError: .* pass adaptor=lambda"):
        doctor.check(OneInput(), ids(), LENGTHS)
    report = doctor.check(OneInput(), ids(), LENGTHS, adaptor=lambda module, token_ids, lengths: module(token_ids))
    assert report.failed == ["padding"]  # it cannot know the lengths


class Wrapped(modules.LastState):
    def forward(self, token_ids, lengths):
        return {"scores": super().forward(token_ids, lengths), "loss": torch.tensor(0.0)}


def test_a_dict_without_logits_is_refused_and_an_adaptor_helps():
    with pytest.raises(UserError, match="the module returned a dict, wanted a Tensor of logits"):
        doctor.check(Wrapped(), ids(), LENGTHS)
    assert doctor.check(Wrapped(), ids(), LENGTHS, adaptor=lambda module, *given: module(*given)["scores"]).failed == []


def test_an_adaptor_that_calls_another_module_is_refused():
    module = modules.LastState()
    with pytest.raises(UserError, match="it must call the module that it is passed"):
        doctor.check(module, ids(), LENGTHS, adaptor=lambda _, token_ids, lengths: module(token_ids, lengths))


def test_pairs_of_different_number_are_refused():
    with pytest.raises(UserError, match="target_ids: 2 rows, but source_ids has 3"):
        doctor.check_translator(modules.Translator(), ids(), LENGTHS, ids()[:2], LENGTHS[:2])


def everything(module):
    """Return all that a check could change."""
    return {
        "weights": {name: value.clone() for name, value in module.state_dict().items()},
        "gradients": [None if p.grad is None else p.grad.clone() for p in module.parameters()],
        "trained": [p.requires_grad for p in module.parameters()],
        "training": [part.training for part in module.modules()],
        "rates": [getattr(part, "p", getattr(part, "dropout", None)) for part in module.modules()],
        "chance": (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()),
    }


def assert_same(before, after):
    for name, value in before["weights"].items():
        assert torch.equal(value, after["weights"][name]), name
    for one, other in zip(before["gradients"], after["gradients"], strict=True):
        assert one is None if other is None else torch.equal(one, other)
    assert torch.equal(before["chance"][0], after["chance"][0])
    assert before["chance"][1:] == after["chance"][1:]
    assert all(before[name] == after[name] for name in ("trained", "training"))
    assert [str(rate) for rate in before["rates"]] == [str(rate) for rate in after["rates"]]


@pytest.mark.parametrize("make", [modules.Dropping, modules.NormOfFeatures, modules.ZeroHead, modules.KeepsItsState])
def test_nothing_of_the_module_changes(make):
    module, token_ids = make(), ids()
    module.embedding.weight.requires_grad_(False)
    module(token_ids, LENGTHS).sum().backward()
    module.head.eval()
    before = everything(module)
    doctor.check(module, token_ids, LENGTHS)
    assert_same(before, everything(module))


def test_a_module_that_cannot_be_copied_is_put_back():
    module = modules.CarriesItsGraph()
    token_ids = ids()
    module(token_ids, LENGTHS)
    with pytest.raises(RuntimeError):
        copy.deepcopy(module)
    carried, before = module.carried, everything(module)
    values = [part.detach().clone() for part in carried]
    report = doctor.check(module, token_ids, LENGTHS, task="generate", untrained=True)
    assert report.failed == ["state"]  # three rows are left over, in the way of any other number
    assert "Expected hidden" in report.result("state").difference
    assert module.carried is carried or all(a is b for a, b in zip(module.carried, carried, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(carried, values, strict=True))
    assert_same(before, everything(module))


def dtype_of_a_product():
    return torch.mm(torch.ones(1, 1), torch.ones(1, 1)).dtype


MODES = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "set_grad_enabled": lambda: torch.set_grad_enabled(False),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
}


@pytest.mark.parametrize("mode", sorted(MODES))
@pytest.mark.parametrize("frozen", [False, True])
def test_what_is_found_does_not_depend_on_the_callers_modes(mode, frozen):
    with MODES[mode]():  # tensors of inference mode as well: weights, buffers, ids and lengths
        right = modules.NormOfFeatures().eval().requires_grad_(not frozen)
        wrong = modules.FirstLayer(num_layers=2).requires_grad_(not frozen)
        token_ids, lengths = ids(), torch.tensor([6, 2, 4])
        state = torch.is_grad_enabled(), torch.is_inference_mode_enabled(), dtype_of_a_product()
        report = doctor.check(right, token_ids, lengths)
        assert (report.failed, report.warned) == ([], ["gradients"] * frozen), str(report)
        assert doctor.check(wrong, token_ids, lengths).failed == ["layers"]
        pair = token_ids, lengths, token_ids.flip(0), lengths.flip(0)
        assert doctor.check_translator(modules.Translator(), *pair).failed == []
        assert state == (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), dtype_of_a_product())
    assert not right.training


class Raises(modules.CarriesItsGraph):
    """Cannot be copied once it has been called, and stops at its tenth call."""

    calls = 0

    def forward(self, token_ids, lengths):
        Raises.calls += 1
        if Raises.calls == 10:
            raise KeyboardInterrupt
        return super().forward(token_ids, lengths)


def test_a_module_is_put_back_after_an_exception():
    module, token_ids = Raises(), ids()
    module(token_ids, LENGTHS).sum().backward(retain_graph=True)
    module.embedding.weight.requires_grad_(False)
    module.head.eval()
    carried, before = module.carried, everything(module)
    with pytest.raises(KeyboardInterrupt):
        doctor.check(module, token_ids, LENGTHS, task="generate")
    assert_same(before, everything(module))
    assert module.carried is carried or all(a is b for a, b in zip(module.carried, carried, strict=True))
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


def test_a_function_is_examined_and_the_modules_that_it_uses_are_put_back():
    module, token_ids = modules.Dropping(), ids()
    module.dropout.eval()
    nn.init.zeros_(module.head.weight)
    before = everything(module)
    report = doctor.check(lambda token_ids, lengths: module(token_ids, lengths), token_ids, LENGTHS)
    assert (report.failed, report.warned) == ([], [])
    assert report.result("dropout").difference == "2 active"
    assert_same(before, everything(module))


def test_padding_on_the_left_is_told_and_explains_the_rest():
    token_ids = ids().masked_fill(torch.arange(6) >= LENGTHS[:, None], 0)
    report = doctor.check(modules.LastState(), token_ids.flip(1), LENGTHS)
    assert report.failed == ["left_padding"]
    assert "pad_sequence(rows, batch_first=True)" in report.result("left_padding").fix
    assert report.result("padding").difference == "explained by left_padding"
    assert doctor.check(modules.LastState(), token_ids, LENGTHS).failed == []
    right, left = (token_ids, LENGTHS), (token_ids.flip(1), LENGTHS)
    assert doctor.check_translator(modules.Translator(), *left, *right).failed == ["source_left_padding"]
    assert doctor.check_translator(modules.Translator(), *right, *left).failed == ["left_padding"]


def test_one_column_of_padding_on_the_left_is_told():
    token_ids = torch.tensor([[3, 4, 5, 6], [0, 7, 8, 9], [0, 3, 5, 8]])
    assert doctor.check(modules.LastState(), token_ids, torch.tensor([4, 3, 3])).failed == ["left_padding"]


def test_a_first_token_that_is_always_the_same_is_no_padding():
    token_ids = ids().masked_fill(torch.arange(6) >= LENGTHS[:, None], 0)
    token_ids[:, 0] = 7
    assert doctor.check(modules.LastState(), token_ids, LENGTHS).failed == []


@pytest.mark.parametrize("kind", [torch.int32, torch.int16, torch.uint8])
def test_lengths_and_ids_of_other_integers_are_read(kind):
    report = doctor.check(modules.MeanOfOutput(), ids().to(torch.int32), LENGTHS.to(kind))
    assert (report.failed, report.warned) == ([], []), str(report)


class OneScore(modules.LastState):
    def __init__(self):
        super().__init__(outputs=1)

    def forward(self, token_ids, lengths):
        return super().forward(token_ids, lengths).squeeze()


def test_one_score_a_row_is_asked_for_as_such():
    report = doctor.check(OneScore(), ids(), LENGTHS)
    assert report.failed == ["batch_size"]
    assert report.result("logits").difference == "(5,)"
    assert report.result("batch_size").difference == "the logits have the shape (), wanted (1,)"


def test_what_a_failed_check_explains_is_skipped():
    report = doctor.check(modules.ViewedStates(bidirectional=True), ids(), LENGTHS)
    assert report.failed == ["h_n_view"]
    assert report.result("rows").status == "skipped"
    assert report.result("rows").difference == "explained by h_n_view"


def test_frozen_parameters_are_warned_of():
    module = modules.LastState()
    module.embedding.weight.requires_grad_(False)
    report = doctor.check(module, ids(), LENGTHS)
    assert report.warned == ["gradients"]
    assert report.result("gradients").difference == "frozen: embedding.weight"


def test_unknown_tokens_are_counted_where_their_id_is_given():
    token_ids = torch.tensor([[0, 0, 3, 4], [5, 6, 0, 0]])
    report = doctor.check(modules.LastState(), token_ids, torch.tensor([4, 2]), unknown_id=0)
    assert report.warned == ["unknown"]
    assert report.result("unknown").difference == "33.3 % of 6 tokens"
    assert doctor.check(modules.LastState(), token_ids, torch.tensor([4, 2]), unknown_id=9).warned == []


def test_scores_that_are_not_finite_are_told():
    module = modules.LastState()
    nn.init.constant_(module.head.bias, torch.nan)
    report = doctor.check(module, ids(), LENGTHS)
    assert report.failed == ["logits"]
    assert set(report.skipped) >= {"padding", "rows", "layers", "softmax"}


def test_half_precision_has_its_own_tolerance():
    assert doctor.check(modules.LastState().to(torch.bfloat16), ids(), LENGTHS).failed == []


# A translator that writes


def steps(module, state, text):
    inputs = torch.tensor([[1, *text[:-1]]])
    output, _ = module.decoder.rnn(module.decoder.embedding(inputs), state)
    return module.decoder.head(output)[0].log_softmax(-1)


def decoding(*, reorder=True, with_last=True, written=4):
    """Return a small search of its own: ``reorder`` keeps the state of each hypothesis, ``with_last`` scores all."""

    def states(module, source_ids, source_lengths):
        h, c = module.read(source_ids, source_lengths)
        return [(h[:, i : i + 1], c[:, i : i + 1]) for i in range(len(source_ids))]

    def beam(module, source_ids, source_lengths, size):
        found = []
        for state in states(module, source_ids, source_lengths):
            beams = [([], 0.0, state)]
            for _ in range(written):
                grown = []
                for text, score, (h, c) in beams:
                    inputs = module.decoder.embedding(torch.tensor([[text[-1] if text else 1]]))
                    output, (h, c) = module.decoder.rnn(inputs, (h, c))
                    best = module.decoder.head(output)[0, 0].log_softmax(-1).topk(size)
                    for value, index in zip(best.values.tolist(), best.indices.tolist(), strict=True):
                        grown.append(([*text, index], score + value, (h, c)))
                kept = [one[2] for one in grown[:size]]  # where they stood before they were sorted
                beams = sorted(grown, key=lambda one: -one[1])[:size]
                if not reorder:
                    beams = [(text, score, kept[i]) for i, (text, score, _) in enumerate(beams)]
            if not with_last:
                beams = [(text, score * 0.9, state) for text, score, state in beams]
            found.append([(text, score) for text, score, _ in beams])
        return found

    def greedy(module, source_ids, source_lengths):
        found = decoding(written=written).beam(module, source_ids, source_lengths, 1)
        return [list(hypotheses[0][0]) for hypotheses in found]

    def forced(module, source_ids, source_lengths, texts):
        pairs = zip(states(module, source_ids, source_lengths), texts, strict=True)
        return [float(steps(module, s, t).gather(1, torch.tensor(t)[:, None]).sum()) for s, t in pairs]

    return doctor.Decoding(greedy, beam, forced)


@pytest.mark.parametrize(
    ("options", "failed"), [({}, []), ({"reorder": False}, ["beam"]), ({"with_last": False}, ["beam"])]
)
def test_a_beam_that_forgets_its_states_or_scores_is_found(options, failed):
    torch.manual_seed(3)
    module = modules.Translator()
    nn.init.normal_(module.decoder.head.weight, std=3.0)  # what comes next hangs on what was written
    report = doctor.check_translator(module, ids(), LENGTHS, ids(), LENGTHS, decoding=decoding(**options))
    assert report.failed == failed, str(report)


# The report and the page


def test_a_report_says_what_was_done_and_what_to_change():
    report = doctor.check(modules.LastStepOfBoth(bidirectional=True), ids(), LENGTHS)
    told = str(report)
    assert "rnn: where it is read, the backward half of the top layer has read only one token" in told
    assert "torch.cat((h_n[-2], h_n[-1]), dim=-1)" in told.replace("\n" + " " * 12, " ")
    assert told.splitlines()[-1] == report.summary()
    assert max(map(len, told[told.index("directions failed") :].splitlines())) <= 79
    plain = json.loads(json.dumps(report.as_dict()))
    assert plain["failed"] == ["directions"]
    assert {result["name"] for result in plain["results"]} == {result.name for result in report.results}


def test_the_page_names_every_check():
    report = doctor.check(modules.LastState(), ids(), LENGTHS, untrained=True, unknown_id=0)
    both = doctor.check_translator(modules.Translator(), ids(), LENGTHS, ids(), LENGTHS, decoding=decoding())
    names = {name.removeprefix("source_") for one in (report, both) for name in (r.name for r in one.results)}
    rows = re.findall(r"^\| `(\w+)` \|", PAGE, re.M)
    assert set(rows) == names | {"carried"}


def test_the_example_of_the_page_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    exec(compile(code, "doctor.md", "exec"), {})
    *_, last = capsys.readouterr().out.splitlines()
    assert last == re.findall(r"print\(report.failed\)  # (.*)", code)[0]


def test_importing_the_doctor_needs_torch_and_no_framework():
    heavy = ["lightning", "hydra", "omegaconf", "datasets", "pandas", "matplotlib", "torchmetrics", "sacrebleu", "rich"]
    code = f"import sys, lstm_readout.doctor; print([name for name in {heavy} if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.strip() == "[]"


def test_a_state_of_one_batch_size_is_told_as_such():
    first = doctor.check(modules.StateOfOneBatchSize(3), ids(), LENGTHS).result("batch_size")
    assert first.status == "failed"
    assert f"({1}, 5, {HIDDEN})" in first.difference
