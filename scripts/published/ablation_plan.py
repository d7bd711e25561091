"""A corpus goes in; what an ablation of its recipe trains comes out, every command line checked before any training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from lstm_readout.commands.train import train
from lstm_readout.config.check import check_targets
from lstm_readout.config.jobs import compose_jobs
from lstm_readout.errors import UserError, did_you_mean
from published.ablation_table import WHOLE

PLANS = Path(__file__).with_name("ablations.yaml")


class Plan(NamedTuple):
    """The ablation of one recipe."""

    corpus: str
    command: list[str]  # overrides of the whole recipe at this budget
    variants: dict[str, list[str]]  # name -> what it adds to them; the first is ``WHOLE``


def plan_of(corpus: str, budget: Sequence[str] = (), plans: Path = PLANS) -> Plan:
    """Return the plan of a corpus.

    Args:
        corpus: a name in ``plans``.
        budget: overrides in place of those in ``plans``.
        plans: the file; see its head.

    Raises:
        UserError: no such corpus, or an override that does not fit the recipe.
    """
    known: dict[str, Any] = OmegaConf.to_container(OmegaConf.load(plans))  # pyright: ignore[reportAssignmentType]
    if corpus not in known["corpora"]:
        raise UserError(f"--corpora: there is no '{corpus}'. {did_you_mean(corpus, known['corpora'])}")
    about = known["corpora"][corpus]
    # A limit of time would cut the schedule where the machine is slow
    size = [*(budget or about["budget"]), "trainer.max_time=null"]
    command = [f"experiment={about['experiment']}", *about.get("test_unread", []), *size]
    whole = _composed(command, corpus)
    variants: dict[str, list[str]] = {WHOLE: []}
    for name, overrides in known["without"][get_class(whole.task._target_).name].items():
        if any(_changes(whole, override) for override in overrides):
            _composed([*command, *overrides], f"{corpus}, without {name}")
            variants[name] = list(overrides)
    return Plan(corpus, command, variants)


def _changes(whole: DictConfig, override: str) -> bool:
    """Say whether an override changes the recipe; what is null is the same as what is not there."""
    key, _, value = override.partition("=")
    return OmegaConf.select(whole, key.lstrip("+")) != yaml.safe_load(value)


def _composed(overrides: Sequence[str], what: str) -> DictConfig:
    try:
        (config,) = compose_jobs(list(overrides), run=train, config_name="train", config_module="lstm_readout.configs")
        check_targets(config)
    except UserError as error:
        raise UserError(f"{what}: {error}") from error
    return config
