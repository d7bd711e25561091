"""Publish what runs measured: make docs/results.md from the records in docs/results/records.jsonl, and add records.

    python scripts/results.py docs/results                    # write docs/results.md, print its path
    python scripts/results.py --headers docs/results          # print the line at the top of each recipe's YAML file
    python scripts/results.py --collect RUN_FOLDER...         # add runs to the records, print the recipe and the seed
    python scripts/results.py --collect EVALUATION.json --recipe "trec ensemble"
    python scripts/results.py --comparison RUN_FOLDER imdb    # copy a comparison to docs/compare/imdb

A run is a run folder, the folder of a sweep, or what ``lstm-readout evaluate output=EVALUATION.json`` wrote for one or
more models. A record that is collected again replaces the earlier one of its recipe, device and seed. ``--comparison``
takes a folder of ``lstm-readout compare`` and also puts its tables into docs/learn/which-output.md, between ``<!--
imdb: TITLE -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from published.comparisons import publish
from published.page import page
from published.recipes import recipes_of
from published.records import RECORDS, collect, read_ablations, read_all

from lstm_readout.config.hydra_main import refuse
from lstm_readout.errors import UserError

DOCS = Path(__file__).resolve().parents[1] / "docs"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path, help="run folders, sweeps, evaluations, or docs/results")
    parser.add_argument("--recipe", help="the recipe's name, for an evaluation")
    parser.add_argument("--output", type=Path, help="the file to write, if not the one in docs")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--collect", action="store_true", help="add the runs to the records")
    mode.add_argument("--headers", action="store_true", help="print the headers of the recipes")
    mode.add_argument("--comparison", nargs=2, metavar=("RUN_FOLDER", "NAME"), help="publish a comparison")
    given = parser.parse_args(arguments)
    if bool(given.paths) == bool(given.comparison):
        parser.error("give runs, or --comparison RUN_FOLDER NAME")
    try:
        if given.comparison:
            print(publish(Path(given.comparison[0]), given.comparison[1], DOCS))
        elif given.collect:
            for record in collect(given.paths, given.output or DOCS / "results" / RECORDS, given.recipe):
                print(f"{record.recipe}, {record.device}, seed {record.seed}")
        elif given.headers:
            for recipe in recipes_of(read_all(given.paths, given.recipe)):
                print(f"{recipe.name}: {recipe.header()}")
        else:
            output = given.output or DOCS / "results.md"
            output.write_text(page_of(given.paths, given.recipe), encoding="utf-8")
            print(output)
    except UserError as error:
        refuse(error)


def page_of(paths: list[Path], recipe: str | None = None) -> str:
    """Return the page of runs, with the ablations among the records."""
    return page(recipes_of(read_all(paths, recipe)), read_ablations(paths))


if __name__ == "__main__":
    main()
