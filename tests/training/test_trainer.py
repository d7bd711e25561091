"""The step of a run: its precision and clipping, what it logs and when, the bar, and how a batch is moved."""

from __future__ import annotations

import csv
import re
from io import StringIO
from pathlib import Path

import pytest
import rich
import torch
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.callbacks import Timer
from rich.console import Console
from torch.nn.utils.rnn import PackedSequence, pack_sequence
from torch.utils.data._utils.pin_memory import pin_memory

from lstm_readout.commands.predict import main as predict
from lstm_readout.commands.train import main
from lstm_readout.config.signature import accepts, parameters_of
from lstm_readout.data.batches import ClassifyBatch, GenerateBatch, TranslateBatch, moved
from lstm_readout.errors import UserError
from lstm_readout.tasks.base import RunningMean
from lstm_readout.training import trainer
from lstm_readout.training.allocator import FreedMemory

SMALL = ["data.max_rows=150", "model.hidden_size=8", "model.embedding_size=8", "trainer.max_epochs=2"]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def quiet(**options):
    return trainer.Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False, **options)


@pytest.mark.parametrize("accelerator", ["auto", "cpu", CPUAccelerator()])
@pytest.mark.parametrize(("native", "expected"), [(True, "bf16-mixed"), (False, "32-true")])
def test_auto_takes_bfloat16_where_the_device_is_made_for_it(native, expected, accelerator, monkeypatch):
    asked = []
    monkeypatch.setattr(trainer, "has_bfloat16", lambda device: asked.append(device) or native)
    monkeypatch.setattr(trainer.CUDAAccelerator, "is_available", lambda: False)
    monkeypatch.setattr(trainer.MPSAccelerator, "is_available", lambda: False)
    assert quiet(accelerator=accelerator, precision="auto").precision == expected
    assert asked == ["cpu"]
    assert quiet(accelerator=accelerator).precision == "32-true"


def test_the_device_is_that_of_the_accelerator_asked_for(monkeypatch):
    monkeypatch.setattr(trainer.CUDAAccelerator, "is_available", lambda: True)
    assert [trainer.device_type(name) for name in ("cpu", "gpu", "cuda", "auto", "mps")] == [
        "cpu",
        "cuda",
        "cuda",
        "cuda",
        "mps",
    ]


def test_a_processor_without_bfloat16_refuses_it(monkeypatch):
    monkeypatch.setattr(trainer, "_cpu_runs_bfloat16", lambda: False)
    for precision in ("bf16-mixed", "bf16", "16-mixed"):
        with pytest.raises(UserError, match=f"trainer.precision={precision}: .* Set trainer.precision=32-true"):
            quiet(accelerator="cpu", precision=precision)
    assert quiet(accelerator="cpu", precision="64-true").precision == "64-true"
    assert not trainer.has_bfloat16("cpu")


def test_asking_the_processor_leaves_chance_alone():
    before = torch.get_rng_state()
    trainer.has_bfloat16("cpu")
    trainer._cpu_runs_bfloat16()
    assert torch.equal(before, torch.get_rng_state())


def test_the_configuration_knows_every_option_of_lightnings_trainer():
    ours, theirs = (parameters_of(name) for name in ("lstm_readout.training.trainer.Trainer", "lightning.Trainer"))
    assert ours.kinds.keys() == theirs.kinds.keys()
    assert ours.others is None
    assert accepts(ours.kinds["precision"], "auto")
    assert not accepts(ours.kinds["precision"], "bf17")


@pytest.fixture
def slow_bfloat16():
    """Let any processor train in bfloat16: oneDNN has no such LSTM below AVX-512, PyTorch's own kernels do."""
    torch.backends.mkldnn.set_flags(False)
    yield
    torch.backends.mkldnn.set_flags(True)


@pytest.mark.parametrize("task", ["classify", "translate", "generate"])
def test_a_run_in_bfloat16_is_whole(task, slow_bfloat16, capsys, monkeypatch):
    monkeypatch.setattr(trainer, "has_bfloat16", lambda device: True)
    stream = ["data.carry_state=true", "data.window=7"] if task == "generate" else []
    given = [f"task={task}", *SMALL, *stream, "data.batch_size=8", "model.num_layers=2", "data.max_rows=60"]
    given.append("trainer.precision=auto")
    main([*given, "hydra.run.dir=whole"])
    assert "trainer.precision=32-true turns it off" in " ".join(Path("whole/train.log").read_text().split())
    weights = final_weights("whole")
    assert {weight.dtype for weight in weights.values()} == {torch.float32}

    killer = "+callbacks.killer={_target_: lstm_readout_test_tools.SendSignal, step: 8, number: 2}"
    with pytest.raises(SystemExit):
        main([*given, killer, "hydra.run.dir=part"])
    main(["resume=part", "callbacks.killer=null"])
    assert all(torch.equal(weights[name], value) for name, value in final_weights("part").items())
    capsys.readouterr()
    predict(["checkpoint=whole/checkpoints/best.ckpt", "text=the plot was dull"])
    assert capsys.readouterr().out.strip()


def final_weights(folder):
    weights = torch.load(f"{folder}/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    return {name: value for name, value in weights.items() if name.startswith("model.")}


@pytest.mark.parametrize(
    ("precision", "algorithm"), [("32-true", "norm"), ("bf16-mixed", "norm"), ("bf16-mixed", "value")]
)
def test_gradients_are_clipped_in_every_precision(precision, algorithm, slow_bfloat16):
    clip = ["trainer.gradient_clip_val=1e-4", f"+trainer.gradient_clip_algorithm={algorithm}"]
    keep = "+callbacks.keep={_target_: lstm_readout_test_tools.KeepGradients, path: gradients.pt}"
    main([*SMALL, "debug=limited", f"trainer.precision={precision}", *clip, keep])
    gradients = torch.load("gradients.pt")
    measured = gradients.norm() if algorithm == "norm" else gradients.abs().max()
    assert float(measured) == pytest.approx(1e-4, rel=0.02)


def test_the_loss_is_logged_as_the_mean_since_it_was_logged_last():
    keep = "+callbacks.keep={_target_: lstm_readout_test_tools.KeepLosses, path: losses.pt}"
    main([*SMALL, "data.batch_size=9", "trainer.log_every_n_steps=4", keep, "hydra.run.dir=run"])
    steps = torch.load("losses.pt")
    with Path("run/metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    epochs = [float(row["train/loss_epoch"]) for row in rows if row["train/loss_epoch"]]
    assert epochs == pytest.approx([mean([step for step in steps if step[0] == epoch]) for epoch in (0, 1)], rel=1e-5)
    logged = {int(row["step"]): float(row["train/loss_step"]) for row in rows if row["train/loss_step"]}
    assert list(logged) == list(range(3, len(steps), 4))
    first_epoch = sum(step[0] == 0 for step in steps)
    for at, value in logged.items():
        since = [i for i in range(max(0, at - 3), at + 1) if (i < first_epoch) == (at < first_epoch)]
        assert value == pytest.approx(mean([steps[i] for i in since]), rel=1e-5)


def mean(steps):
    return sum(loss * number for _, loss, number in steps) / sum(number for *_, number in steps)


def test_a_run_that_ends_inside_an_epoch_tells_the_loss_of_all_its_steps():
    keep = "+callbacks.keep={_target_: lstm_readout_test_tools.KeepLosses, path: losses.pt}"
    main([*SMALL, "data.batch_size=9", "trainer.max_steps=5", "callbacks.best.monitor=null", keep, "hydra.run.dir=run"])
    with Path("run/metrics.csv").open(newline="") as file:
        (told,) = [float(row["train/loss_epoch"]) for row in csv.DictReader(file) if row.get("train/loss_epoch")]
    assert told == pytest.approx(mean(torch.load("losses.pt")), rel=1e-5)


def test_a_running_mean_weighs_each_part_and_starts_anew():
    running = RunningMean()
    for _ in range(2):
        running.add(torch.tensor(2.0, requires_grad=True), 3)
        running.add(torch.tensor(5.0), 1)
        value, number = running.take()
        assert (float(value), number, value.requires_grad) == (2.75, 4, False)


class Terminal(StringIO):
    def isatty(self):
        return True


def test_the_bar_shows_epoch_batches_and_loss_and_leaves_room_for_the_log(monkeypatch):
    screen = Terminal()
    console = Console(file=screen, force_terminal=True, width=100)
    monkeypatch.setattr(rich, "_console", console)
    monkeypatch.setattr("sys.stdout", Terminal())
    main([*SMALL, "data.batch_size=9", "+callbacks.progress_bar.seconds=0", "hydra.run.dir=run"])
    text = screen.getvalue()
    assert re.search(r"epoch 2 of 2 .*17/17.*loss \d\.\d", text)
    assert re.search(r"validation .*2/2|validation .*1/2", text)
    assert "epoch 1 of 2: train/loss_epoch" in text


def test_without_a_terminal_there_is_no_bar(capsys):
    main([*SMALL, "debug=limited"])
    assert "━" not in capsys.readouterr().out.split("doctor:")[1]


PACKED = pack_sequence([torch.arange(3), torch.arange(5)], enforce_sorted=False)
BATCHES = [
    ClassifyBatch(PACKED, torch.arange(2)),
    GenerateBatch(PACKED, torch.arange(8), continues=True),
    GenerateBatch(PACKED, torch.arange(3), scored=torch.arange(3)),
    TranslateBatch(PACKED, PACKED, torch.arange(8), ["a", "b"]),
]


def batch_sizes(batch):
    """Return what stays where it is: PyTorch reads it on the CPU."""
    return {id(part.batch_sizes) for part in batch if isinstance(part, PackedSequence)}


def tensors(batch):
    for part in batch:
        if isinstance(part, PackedSequence):
            yield from (inner for inner in part if inner is not None)
        elif isinstance(part, torch.Tensor):
            yield part


@pytest.mark.parametrize("batch", BATCHES, ids=lambda batch: type(batch).__name__)
def test_every_tensor_of_a_batch_can_be_pinned(batch, monkeypatch):
    pinned = []  # pinning itself needs a GPU: what torch's loader would pin is counted
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self, *device: pinned.append(self.clone()) or pinned[-1])
    result = pin_memory(batch)
    assert type(result) is type(batch)
    assert {id(tensor) for tensor in tensors(result)} - {id(tensor) for tensor in pinned} <= batch_sizes(batch)
    assert all(torch.equal(*pair) for pair in zip(tensors(result), tensors(batch), strict=True))
    assert [part for part in result if isinstance(part, bool | list)] == [
        part for part in batch if isinstance(part, bool | list)
    ]


@pytest.mark.parametrize("batch", BATCHES, ids=lambda batch: type(batch).__name__)
def test_a_batch_moves_whole_but_for_its_batch_sizes(batch):
    result = moved(batch, torch.device("meta"))
    assert type(result) is type(batch)
    for part in result:
        if isinstance(part, PackedSequence):
            assert (part.data.device.type, part.batch_sizes.device.type) == ("meta", "cpu")
        elif isinstance(part, torch.Tensor):
            assert part.device.type == "meta"


@pytest.mark.parametrize("given", [None, Timer(), [Timer()]])
def test_every_trainer_watches_the_memory_beside_what_it_is_given(given):
    kinds = [type(callback) for callback in quiet(callbacks=given).callbacks]
    assert kinds.count(FreedMemory) == 1
    assert kinds.count(Timer) == (given is not None)


def test_far_more_processes_than_cores_are_refused_before_they_start():
    with pytest.raises(UserError, match=r"trainer\.devices: wanted \d+ or fewer on this machine, got 100000"):
        trainer.Trainer(accelerator="cpu", devices=100_000)
