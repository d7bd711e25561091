"""Make docs/results.md of runs: python scripts/results.py docs/results [--output docs/results.md].

``--collect RUN_FOLDER...`` first writes what a run leaves of evidence, its metrics and its card, into ``docs/results``:
one small file for each recipe and seed. ``--headers`` prints the line that stands at the top of each recipe's YAML
file. A path is a run folder, the folder of a sweep, one of collected files, or the file that ``lstm-readout evaluate
output=RECIPE.json`` wrote of several models together (``trec+together.json``).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from published.page import page
from published.recipes import recipes_of
from published.records import collect, read_all

from lstm_readout.config.hydra_main import refuse
from lstm_readout.errors import UserError

DOCS = Path(__file__).resolve().parents[1] / "docs"
RESULTS = DOCS / "results"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path, help="run folders, sweeps, evaluations, or docs/results")
    parser.add_argument(
        "--output", type=Path, help=f"the page; {DOCS.name}/results.md, or with --collect {DOCS.name}/results"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--collect", action="store_true", help="copy what is needed, and make no page")
    what.add_argument("--headers", action="store_true", help="print the headers of the recipes, and make no page")
    given = parser.parse_args(arguments)
    try:
        if given.collect:
            for path in collect(given.paths, given.output or RESULTS):
                print(path)
        elif given.headers:
            for recipe in recipes_of(read_all(given.paths)):
                print(f"{recipe.name}: {recipe.header()}")
        else:
            output = given.output or DOCS / "results.md"
            output.write_text(made_of(given.paths), encoding="utf-8")
            print(output)
    except UserError as error:
        refuse(error)


def made_of(paths: list[Path]) -> str:
    """Return the page of runs, with the ablations that lie in ``ablations`` below a path."""
    files = [file for path in paths for file in sorted((path / "ablations").glob("*.json"))]
    ablations = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    return page(recipes_of(read_all(paths)), ablations)


if __name__ == "__main__":
    main()
