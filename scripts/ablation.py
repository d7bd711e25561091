"""Measure what each option of a recipe is worth: python scripts/ablation.py --corpora imdb,trec [--seeds 0,1,2].

Trains the recipe at a fixed budget, and once without each option that it uses, with every seed: one thread a run, two
runs side by side. What is compared is the metric on validation that chooses the checkpoint. Writes ``CORPUS.json`` into
``--output``, where ``scripts/results.py`` looks for it, and prints the table. The options and the budgets stand in
``published/ablations.yaml``. An ablation that was stopped goes on with the runs that are missing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from published.ablation_plan import PLANS, plan_of
from published.ablation_runs import ROOT, ablate
from published.ablation_table import ablation_section

from lstm_readout.config.hydra_main import refuse
from lstm_readout.errors import UserError
from lstm_readout.report.json_writer import write_json


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpora", required=True, help="which, separated by commas")
    parser.add_argument("--seeds", default="0,1,2", help="separated by commas")
    parser.add_argument("--budget", nargs="+", default=[], help="overrides, as trainer.max_epochs=2")
    parser.add_argument(
        "--plans", type=Path, default=PLANS, help="corpora and options, as published/ablations.yaml has them"
    )
    parser.add_argument("--folder", type=Path, default=Path("runs/ablation"), help="of the runs")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "results" / "ablations")
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side, one thread each")
    given = parser.parse_args(arguments)
    try:
        if not all(seed.isdigit() for seed in given.seeds.split(",")):
            raise UserError(f"--seeds: wanted whole numbers separated by commas, got {given.seeds}.")
        if given.jobs < 1:
            raise UserError(f"--jobs: wanted 1 or more, got {given.jobs}.")
        plans = [plan_of(corpus, given.budget, given.plans) for corpus in given.corpora.split(",")]
        for plan in plans:
            about = ablate(plan, [int(seed) for seed in given.seeds.split(",")], given.folder / plan.corpus, given.jobs)
            given.output.mkdir(parents=True, exist_ok=True)
            write_json(given.output / f"{plan.corpus}.json", about)
            page = "\n".join(ablation_section(about))
            (given.folder / plan.corpus / "ablation.md").write_text(page, encoding="utf-8")
            print(page)
    except UserError as error:
        refuse(error)


if __name__ == "__main__":
    main()
