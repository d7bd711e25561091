"""``lstm-readout compare``: one configuration goes in; a table, a plot, a JSON file and a Markdown page come out."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from lstm_readout.compare.probes import PROBES
from lstm_readout.compare.runs import Result, Run, encoded_data, held_out, perform, quiet_process
from lstm_readout.compare.statistics import METRICS, scores
from lstm_readout.compare.summary import write_report
from lstm_readout.compare.table import Comparison, compared
from lstm_readout.compare.variants import Variant, read_variants
from lstm_readout.config.arguments import of_run
from lstm_readout.config.hydra_main import hydra_main, refuse
from lstm_readout.data.module import TextDataModule
from lstm_readout.errors import UserError
from lstm_readout.report.data_report import print_report
from lstm_readout.report.json_writer import write_json
from lstm_readout.training.trainer import quiet_lightning

log = logging.getLogger(__name__)


def compare(config: DictConfig) -> None:
    """Train every variant with every seed, and write what each readout costs."""
    quiet_lightning()
    seeds = _seeds(config)
    jobs = _jobs(config)
    folder = Path(HydraConfig.get().runtime.output_dir)
    name = HydraConfig.get().runtime.choices["task"]
    if name not in METRICS:
        raise UserError(f"task: only {', '.join(METRICS)} can be compared; this is '{name}'.")
    config = OmegaConf.create(OmegaConf.to_container(config, resolve=False))  # pyright: ignore[reportAssignmentType]
    config.trainer.default_root_dir = str(folder)
    if name == "generate":
        config.data.carry_state = True
    data = encoded_data(config)
    print_report(data.report)
    if held_out(data) not in data.columns:
        raise UserError("data: nothing is held out to measure on. Set data.test=0.1.")
    variants = read_variants(config, data)
    results = folder / "results"
    results.mkdir(exist_ok=True)
    runs = {
        (variant.key, seed): Run(
            variant.config, seed, config.rows, results / f"{variant.key}_seed{seed}", variant.probe and seed == seeds[0]
        )
        for seed in seeds  # seed by seed: an interrupted comparison has every variant
        for variant in variants
    }
    began = time.perf_counter()
    _perform_all(runs, variants, jobs, name)
    minutes = (time.perf_counter() - began) / 60
    log.info("%d runs in %.1f minutes", len(runs), minutes)
    finished = {key: Result.read(run.path) for key, run in runs.items()}
    table = compared(METRICS[name], variants, seeds, finished)
    scored = len(next(iter(finished.values())).statistics)
    probes = _probes(name, config, variants, runs, data, seeds[0])
    write_report(folder, Comparison(name, held_out(data), METRICS[name], seeds, scored, table), probes, _command())
    log.info("written: %s", folder)


def _perform_all(runs: dict[tuple[str, int], Run], variants: Sequence[Variant], jobs: int, task: str) -> None:
    names = {variant.key: variant.name for variant in variants}
    left = {key: run for key, run in runs.items() if not run.path.with_suffix(".npz").exists()}
    number = len(runs) - len(left)
    log.info("%d runs, %d done before, %d side by side", len(runs), number, max(1, min(jobs, len(left))))
    try:
        for key in _performed(left, jobs):
            number += 1
            result = Result.read(runs[key].path)
            (score,) = scores(METRICS[task], result.statistics[None])
            told = f"{number} of {len(runs)}: {names[key[0]]}, seed {key[1]}"
            log.info("%s: %s %.4g after %.0f s", told, METRICS[task].name, score, result.seconds)
    except BaseException:
        folder = next(iter(runs.values())).path.parent.parent
        log.warning("stopped; finished runs are kept. To go on: lstm-readout compare resume=%s", folder)
        raise


def _performed(runs: dict[tuple[str, int], Run], jobs: int) -> Iterator[tuple[str, int]]:
    """Perform all runs, and give the key of each as it ends."""
    if jobs == 1 or len(runs) < 2:
        for key, run in runs.items():
            perform(run)
            yield key
        return
    jobs = min(jobs, len(runs))
    threads = max(1, (os.cpu_count() or 1) // jobs)
    # spawn: a forked process would share torch's threads, and hang
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), quiet_process, (threads,)) as pool:
        futures = {pool.submit(perform, run): key for key, run in runs.items()}
        try:
            for future in as_completed(futures):
                future.result()
                yield futures[future]
        except BaseException:
            for process in (pool._processes or {}).values():  # a run can take minutes, and is worth nothing unfinished
                process.terminate()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _probes(
    task: str,
    config: DictConfig,
    variants: Sequence[Variant],
    runs: dict[tuple[str, int], Run],
    data: TextDataModule,
    seed: int,
) -> dict[str, Any]:
    """Look into the trained models: what their state holds, and when."""
    found: dict[str, Any] = {}
    for variant in variants:
        if variant.probe:
            path = runs[variant.key, seed].path
            known = path.with_suffix(".probe.json")
            if not known.exists():
                batched = data.batched(seed, data.batching.updated(variant.config["data"]))
                write_json(known, PROBES[task](path.with_suffix(".ckpt"), batched, config.rows))
            found[variant.name] = json.loads(known.read_text(encoding="utf-8"))
    return found


def _seeds(config: DictConfig) -> list[int]:
    seeds: Any = OmegaConf.to_container(config.seeds) if OmegaConf.is_list(config.seeds) else [config.seeds]
    if not seeds or any(type(seed) is not int or seed < 0 for seed in seeds):
        raise UserError(f"seeds: wanted whole numbers, 0 or more, for example seeds=0,1,2; got {config.seeds}.")
    if len(set(seeds)) < len(seeds):
        raise UserError(f"seeds: {config.seeds} names one twice; the same run twice proves nothing.")
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
    hydra_main(compare, config_name="compare", arguments=of_run(arguments, "results"))
