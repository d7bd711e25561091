"""The check of a GPU, rehearsed on the processor: every part runs, and both sides of a comparison do the same work."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

pytestmark = pytest.mark.slow

SCRIPTS = str(Path(__file__).parents[2] / "scripts")
RECIPES = ("imdb", "multi30k", "multi30k_attention", "tinyshakespeare")
SIDES = ["plain float32", "ours float32", "plain bf16", "ours bf16", "recipe bf16"]


@pytest.fixture(scope="module")
def scripts() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        yield


@pytest.fixture(scope="module")
def rehearsed(scripts: None, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The report of one rehearsal."""
    import gpu_check

    path = tmp_path_factory.mktemp("check") / "report.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LSTM_READOUT_DATA", raising=False)
        code = gpu_check.main(["--rehearse", "--output", str(path)])
    return SimpleNamespace(code=code, report=json.loads(path.read_text(encoding="utf-8")))


def test_every_part_is_done(rehearsed: SimpleNamespace) -> None:
    parts = rehearsed.report["parts"]
    assert {name: part.get("error", part["status"]) for name, part in parts.items()} == dict.fromkeys(
        ["rates", *(f"steps {one}" for one in RECIPES), "tests", "decoding", *(f"run {one}" for one in RECIPES)], "done"
    )
    assert rehearsed.code == 0
    assert rehearsed.report["data"] == "generated"
    assert rehearsed.report["device"]["kind"] == "cpu"
    assert rehearsed.report["device"]["tf32"].keys() == {"products", "cudnn"}
    assert parts["tests"]["failed"] == parts["tests"]["errors"] == 0
    assert parts["tests"]["passed"] + parts["tests"]["skipped"] > 20


@pytest.mark.parametrize("recipe", RECIPES)
def test_both_sides_do_the_same_work(rehearsed: SimpleNamespace, recipe: str) -> None:
    part = rehearsed.report["parts"][f"steps {recipe}"]
    assert part["loss"]["plain"] == pytest.approx(part["loss"]["ours"], abs=1e-4)
    assert all(0 < error < 0.1 for error in part["gradient_error_bf16"].values())
    assert part["lstm_dtype_bf16"] in ("bfloat16", "float16", "float32")
    assert list(part["sides"]) == SIDES
    for name, side in part["sides"].items():
        assert side["tokens_per_second"] * side["seconds_per_step"] == pytest.approx(part["tokens_per_step"])
        assert side["tokens_per_second"] > 0
        assert side["peak_bytes"] is side["host_waits"]["per_step"] is None  # the processor has neither
        if not name.startswith("recipe"):
            assert all(share > 0 for share in side["share_of"].values())


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_run_ends_with_a_score(rehearsed: SimpleNamespace, recipe: str) -> None:
    part = rehearsed.report["parts"][f"run {recipe}"]
    assert part["steps"] == part["planned_steps"] == 4
    lowest, highest = {"val/accuracy": (0, 1), "val/bleu": (0, 100), "val/loss": (1, 6)}[part["metric"]]
    assert lowest <= part["score"] <= highest


def test_decoding_writes_tokens(rehearsed: SimpleNamespace) -> None:
    decoding = rehearsed.report["parts"]["decoding"]
    for search in (decoding["multi30k_attention"]["greedy"], decoding["multi30k_attention"]["beam 5"]):
        assert search["tokens"] >= decoding["multi30k_attention"]["sentences"] > 0
        assert search["tokens_per_second"] > 0
    assert decoding["tinyshakespeare"]["greedy"]["tokens_per_second"] > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_in_one_line(scripts: None, tmp_path: Path, capsys: Any) -> None:
    import gpu_check

    assert gpu_check.main(["--output", str(tmp_path / "report.json")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: no GPU here that torch can use")
    assert not list(tmp_path.iterdir())


def test_a_part_that_fails_or_has_no_time_is_named_and_the_others_run(scripts: None) -> None:
    from gpu_checks.parts import Part, run_parts

    def fails(_: float) -> dict[str, Any]:
        raise ValueError("no such kernel")

    parts = {"one": Part(1, fails), "two": Part(99, fails), "three": Part(2, lambda seconds: {"given": seconds})}
    found = dict(run_parts(parts, budget=50.0))
    assert found["one"]["status"] == "failed"
    assert found["one"]["error"] == "ValueError: no such kernel"
    assert "fails" in found["one"]["traceback"]
    assert found["two"] == {"status": "skipped", "reason": "50 of 50 s were left, and it needs 99"}
    assert found["three"].pop("seconds") < 5
    assert found["three"] == {"status": "done", "given": 2}


def test_the_products_of_a_step_are_those_of_its_layers(scripts: None) -> None:
    """Counted against the formula: 6 operations per weight and token, forward and backward."""
    from gpu_checks.rates import Product, least_bytes, products_of_a_step
    from torch.nn.utils.rnn import pack_sequence

    from lstm_readout.data.batches import GenerateBatch
    from lstm_readout.models import LanguageModel
    from lstm_readout.tasks import GenerateTask
    from lstm_readout.tokenizer import Vocabulary

    model = LanguageModel(vocab_size=11, embedding_size=3, hidden_size=5, num_layers=2)
    task = GenerateTask(model=model, vocabulary=Vocabulary(tokenizers={}, labels=[]))
    rows = pack_sequence([torch.ones(7, dtype=torch.long)] * 4)
    batch = GenerateBatch(rows, rows.data)
    products = list(products_of_a_step(task, [batch]))
    tokens, matrices = 28, 4 * 5 * (3 + 5) + 4 * 5 * (5 + 5) + 5 * 11
    assert sum(product.operations for product in products) == 6 * tokens * matrices
    assert Product(14, 4, 5, 20) in products  # of the recurrence: 7 steps of 4 rows, forward and backward
    number = sum(parameter.numel() for parameter in model.parameters())
    assert least_bytes(task, [batch], "float32") == 40 * number + 8 * tokens * (3 + 30 + 5 + 30)
    assert least_bytes(task, [batch], "bf16") == 40 * number + 4 * tokens * (3 + 30 + 5 + 30)


def test_waits_are_nothing_on_a_processor_and_warnings_pass_later(scripts: None) -> None:
    from gpu_checks.device import Device, HostWaits

    with HostWaits(Device("cpu")) as waits:
        float(torch.ones(()))
    assert waits.per(3) == {"per_step": None, "places": {}}
    with pytest.warns(UserWarning, match="after"):
        warnings.warn("after", UserWarning)
