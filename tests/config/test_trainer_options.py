"""Every option of Lightning's Trainer: a good value passes, and a bad one is refused in one line, before any folder."""

import inspect
from typing import Any

import lightning
import pytest
from omegaconf import OmegaConf

from lstm_readout.config.check import check_targets
from lstm_readout.errors import UserError

TARGET = "lstm_readout.training.trainer.Trainer"
OPTIONS: dict[str, tuple[list[Any], list[Any]]] = {  # option -> good values, bad values
    "accelerator": (["cpu", "auto"], ["typo", "tpu", 3, None]),
    "strategy": (["auto", "ddp"], ["typo", 3]),
    "devices": ([1, 2, "auto"], [0, -2, [0], "abc", 1.5]),
    "num_nodes": ([1], [0, "a"]),
    "precision": (["32-true", "64-true", None, "auto"], ["typo", 8]),
    "logger": ([None], [True, False, "abc"]),
    "callbacks": ([None], [[], "abc"]),
    "fast_dev_run": ([True, 2], [-1, 1.5, "abc"]),
    "max_epochs": ([0, 3, -1, None], [-2, 1.5, "abc"]),
    "min_epochs": ([1, None], [-1, "a"]),
    "max_steps": ([0, 5, -1], [-2, 1.5]),
    "min_steps": ([1], [-1]),
    "max_time": (["00:00:10:00", {"minutes": 1}], ["abc", 12, {"minute": 1}, {"minutes": "x"}]),
    "limit_train_batches": ([0, 3, 0.5], [-1, 1.5, "abc"]),
    "limit_val_batches": ([0, 3, 0.5], [-1, 1.5, "abc"]),
    "limit_test_batches": ([0, 3, 0.5], [-1, 1.5, "abc"]),
    "limit_predict_batches": ([0, 3], [-1, 1.5]),
    "overfit_batches": ([1, 0.5], [-1, 1.5, "abc"]),
    "val_check_interval": ([1, 0.5, "00:00:10:00"], [0, -1, 1.5, "abc"]),
    "check_val_every_n_epoch": ([1, 2], [0, -1, 1.5]),
    "num_sanity_val_steps": ([0, 2, -1], [-2, "abc"]),
    "log_every_n_steps": ([0, 1], [-1, "abc"]),
    "enable_checkpointing": ([None], [True, False, "abc"]),
    "enable_progress_bar": ([True, False], ["abc"]),
    "enable_model_summary": ([True, False], ["abc"]),
    "accumulate_grad_batches": ([1, 2], [0, -1, 1.5]),
    "gradient_clip_val": ([None, 0, 1.0], [-1, "abc"]),
    "gradient_clip_algorithm": (["norm", "value"], ["typo", 3]),
    "deterministic": ([True, False, "warn"], ["abc", 3]),
    "benchmark": ([True, False], ["abc"]),
    "inference_mode": ([True, False], ["abc"]),
    "use_distributed_sampler": ([], [True, False]),
    "profiler": (["simple", "advanced"], ["typo", 3]),
    "detect_anomaly": ([True], ["abc"]),
    "barebones": ([False], ["abc"]),
    "plugins": ([None], ["typo", ["typo"]]),
    "sync_batchnorm": ([True], ["abc"]),
    "reload_dataloaders_every_n_epochs": ([0, 1], [-1, "a"]),
    "default_root_dir": (["some_folder"], []),
    "enable_autolog_hparams": ([True], ["abc"]),
    "model_registry": ([None], [3]),
}


def fault_of(option: str, value: Any) -> str | None:
    defaults = {"accelerator": "cpu", "devices": 1}
    try:
        check_targets(OmegaConf.create({"trainer": {"_target_": TARGET, **(defaults | {option: value})}}))
    except UserError as error:
        return str(error)
    return None


def test_the_table_knows_every_option():
    assert OPTIONS.keys() == inspect.signature(lightning.Trainer).parameters.keys()


@pytest.mark.parametrize("option", OPTIONS)
def test_good_values_pass_and_bad_ones_are_refused(option):
    good, bad = OPTIONS[option]
    for value in good:
        assert fault_of(option, value) is None, value
    for value in bad:
        fault = fault_of(option, value)
        assert fault, value
        assert fault.startswith("trainer")
        assert "\n" not in fault
