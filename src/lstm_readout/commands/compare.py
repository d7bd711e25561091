"""``lstm-readout compare``: one configuration goes in; a table, a plot, a JSON file and a Markdown page come out."""

from __future__ import annotations

import copy
import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from lstm_readout.commands.hints import command_line
from lstm_readout.compare.held_out import held_out
from lstm_readout.compare.probes import PROBES
from lstm_readout.compare.runner import Key, perform_all
from lstm_readout.compare.runs import Result, Run, encoded_data
from lstm_readout.compare.statistics import METRICS, Metric, scores
from lstm_readout.compare.summary import write_report
from lstm_readout.compare.table import Comparison, Failure, compared
from lstm_readout.compare.variants import Variant, read_variants
from lstm_readout.config.hydra_main import hydra_main, refuse
from lstm_readout.config.run_folder import of_run
from lstm_readout.config.values import plain_values
from lstm_readout.data.module import TextDataModule
from lstm_readout.errors import UserError
from lstm_readout.report.data_report import print_report
from lstm_readout.report.json_writer import write_json
from lstm_readout.training.trainer import quiet_lightning

log = logging.getLogger(__name__)


def compare(config: DictConfig) -> None:
    """Train every variant with every seed, and write the comparison."""
    quiet_lightning()
    seeds, jobs, task = _seeds(config), _jobs(config), _task()
    folder = Path(HydraConfig.get().runtime.output_dir)
    config = _prepared(config, task, folder)
    data = encoded_data(plain_values(config))
    print_report(data.report)
    if held_out(data) not in data.columns:
        raise UserError("data: nothing is held out to measure on. Set data.test=0.1.")
    variants = read_variants(config, data)
    runs = _runs(config, variants, seeds, folder)
    results = {key: run.result() for key, run in runs.items() if run.finished}  # of an earlier comparison
    failures = _train(runs, variants, jobs, METRICS[task], results)
    finished = [variant for variant in variants if any((variant.key, seed) in results for seed in seeds)]
    rows = compared(METRICS[task], finished, seeds, results)
    scored = len(results[finished[0].key, seeds[0]].statistics)
    probed = [variant for variant in finished if (variant.key, seeds[0]) in results]
    probes = _probes(PROBES[task], config, probed, runs, data, seeds[0])
    comparison = Comparison(task, held_out(data), METRICS[task], seeds, scored, rows, failures)
    write_report(folder, comparison, probes, _command())
    log.info("written: %s", folder)


def _task() -> str:
    name = HydraConfig.get().runtime.choices["task"]
    if name not in METRICS:
        raise UserError(f"task: only {', '.join(METRICS)} can be compared; this is '{name}'.")
    return name


def _prepared(config: DictConfig, task: str, folder: Path) -> DictConfig:
    """Return a copy of the configuration, which the variants change."""
    config = copy.deepcopy(config)
    OmegaConf.set_struct(config, False)
    config.trainer.default_root_dir = str(folder)
    if task == "generate":
        config.data.carry_state = True
    return config


def _runs(config: DictConfig, variants: Sequence[Variant], seeds: Sequence[int], folder: Path) -> dict[Key, Run]:
    results = folder / "results"
    results.mkdir(exist_ok=True)
    return {
        (variant.key, seed): Run(
            variant.config, seed, config.rows, results / f"{variant.key}_seed{seed}", variant.probe and seed == seeds[0]
        )
        for seed in seeds  # seed by seed: an interrupted comparison has every variant
        for variant in variants
    }


def _train(
    runs: Mapping[Key, Run], variants: Sequence[Variant], jobs: int, metric: Metric, results: dict[Key, Result]
) -> list[Failure]:
    """Train the runs without a result, log and add each result, and return the runs that failed.

    Raises:
        Exception: a run that others are compared with failed.
    """
    of_key = {variant.key: variant for variant in variants}
    left = {key: run for key, run in runs.items() if key not in results}
    done, began = len(results), time.perf_counter()
    log.info("%d runs, %d already done, %d in parallel", len(runs), done, max(1, min(jobs, len(left))))
    failures: list[Failure] = []
    try:
        for number, (key, error) in enumerate(perform_all(left, jobs), start=done + 1):
            variant, seed = of_key[key[0]], key[1]
            run = f"{number} of {len(runs)}: {variant.name}, seed {seed}"
            if error is None:
                results[key] = runs[key].result()
                (score,) = scores(metric, results[key].statistics[None])
                log.info("%s: %s %.4g after %.0f s", run, metric.name, score, results[key].seconds)
                continue
            if variant.against is None:
                raise error
            log.warning("%s: failed: %s", run, error)
            failures.append(Failure(variant.name, seed, str(error)))
    except BaseException:
        folder = next(iter(runs.values())).path.parent.parent
        resume = command_line("compare", f"resume={folder}")
        log.warning("stopped; finished runs are saved. To resume: %s", resume)
        raise
    log.info("%d runs in %.1f minutes", len(left), (time.perf_counter() - began) / 60)
    return failures


def _probes(
    probe: Callable[[Path, TextDataModule, int], dict[str, Any]],
    config: DictConfig,
    variants: Sequence[Variant],
    runs: Mapping[Key, Run],
    data: TextDataModule,
    seed: int,
) -> dict[str, Any]:
    """Apply the probe to the requested models: variant -> its result."""
    probed: dict[str, Any] = {}
    for variant in variants:
        if variant.probe:
            path = runs[variant.key, seed].path
            saved = path.with_suffix(".probe.json")
            if not saved.exists():
                batched = data.batched(seed, data.batching.updated(variant.config["data"]))
                write_json(saved, probe(path.with_suffix(".ckpt"), batched, config.rows))
            probed[variant.name] = json.loads(saved.read_text(encoding="utf-8"))
    return probed


def _seeds(config: DictConfig) -> list[int]:
    seeds = list(config.seeds) if OmegaConf.is_list(config.seeds) else [config.seeds]
    if not seeds or any(type(seed) is not int or seed < 0 for seed in seeds):
        raise UserError(f"seeds: wanted whole numbers, 0 or more, for example seeds=0,1,2; got {config.seeds}.")
    if len(set(seeds)) < len(seeds):
        raise UserError(f"seeds: {config.seeds} repeats a seed; the same run twice proves nothing.")
    return seeds


def _jobs(config: DictConfig) -> int:
    for key in ("jobs", "rows"):
        value = config[key]
        if (value is not None or key == "rows") and (type(value) is not int or value < 1):
            raise UserError(f"{key}: wanted 1 or more, got {value}.")
    if config.jobs is not None:
        return config.jobs
    return 1 if torch.cuda.is_available() else os.cpu_count() or 1


def _command() -> str:
    overrides = [one for one in HydraConfig.get().overrides.task if not one.startswith("resume=")]
    return " ".join(["lstm-readout compare", *overrides])


def main(arguments: list[str] | None = None) -> None:
    """Compose the configuration from the command line and compare."""
    arguments = sys.argv[1:] if arguments is None else arguments
    # seeds=0,1,2 is a list here; Hydra would take it for a sweep
    arguments = [re.sub(r"^seeds=([\d,]+)$", r"seeds=[\1]", argument) for argument in arguments]
    if any(argument in ("-m", "--multirun") for argument in arguments):
        refuse(UserError("compare runs all seeds and variants by itself: leave out --multirun."))
    # The variants change values that others refer to, so interpolations are resolved after that
    hydra_main(compare, config_name="compare", arguments=of_run(arguments, "results"), plain=False)


if __name__ == "__main__":
    main()
