"""Measure the default settings on corpora of several sizes, beside the fixed ones and the strongest baseline.

    python scripts/defaults.py CELLS.jsonl --corpora trec mr --sizes 500 2000 all --jobs 2   # train, and add the cells
    python scripts/defaults.py CELLS.jsonl --table                                           # print them as a table

A cell is one corpus, cut to its first rows of training text, and one choice of ``settings``. The corpora are read from
$LSTM_READOUT_DATA. Every run is ``lstm-readout train`` with no other option than where its text is.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from datasets import load_dataset

SIZES = ("500", "2000", "10000", "all")
SETTINGS = ("auto", "fixed")
MOST_TEST_ROWS = 5_000  # reading all of IMDB's 25,000 would take longer than some trainings
LANGUAGES = ("de", "en", "fr")


class Corpus(NamedTuple):
    """Where a corpus is, and what of it is trained and scored."""

    task: str
    score: str  # in metrics.json
    baselines: tuple[str, ...]  # the same; the best of them counts
    prepare: Callable[[Path, Path, int | None], list[str]]  # data, folder, rows -> overrides


def classification(name: str, suffix: str) -> Corpus:
    def prepare(data: Path, folder: Path, rows: int | None) -> list[str]:
        kind = {"csv": "csv", "parquet": "parquet"}[suffix]
        for split, most in (("train", rows), ("test", MOST_TEST_ROWS)):
            table = load_dataset(kind, data_files=str(data / name / f"{split}.{suffix}"), split="train")
            table.select(range(min(len(table), most or len(table)))).to_parquet(folder / f"{split}.parquet")
        return ["data=files", f"data.path='{folder}'", "data.holdout=random"]  # as the published runs

    return Corpus("classify", "test/accuracy", ("baseline/ngram_accuracy",), prepare)


def translation(source: str, target: str) -> Corpus:
    def prepare(data: Path, folder: Path, rows: int | None) -> list[str]:
        files = {"train": "train", "validation": "val", "test": "test_2016_flickr"}
        for (split, name), language in itertools.product(files.items(), (source, target)):
            text = gzip.decompress((data / "multi30k" / f"{name}.{language}.gz").read_bytes()).decode()
            chosen = text.splitlines(keepends=True)[: rows if split == "train" else None]
            (folder / f"{split}.{language}").write_text("".join(chosen), encoding="utf-8")
        pairs = [f"{s}:{{source:{folder}/{s}.{source},target:{folder}/{s}.{target}}}" for s in files]
        return ["data=files", f"data.files={{{','.join(pairs)}}}"]

    baselines = ("baseline/nearest_source_bleu", "baseline/copy_source_bleu")
    return Corpus("translate", "test/bleu", baselines, prepare)


def prepare_ptb(data: Path, folder: Path, rows: int | None) -> list[str]:
    for split, name in (("train", "train"), ("validation", "valid"), ("test", "test")):
        lines = (data / "ptb" / f"ptb.{name}.txt").read_text(encoding="utf-8").splitlines(keepends=True)
        (folder / f"{split}.txt").write_text("".join(lines[: rows if split == "train" else None]), encoding="utf-8")
    return ["data=files", f"data.path='{folder}'", "tokenizer=whitespace"]


def prepare_shakespeare(data: Path, folder: Path, rows: int | None) -> list[str]:
    text = (data / "tinyshakespeare" / "input.txt").read_text(encoding="utf-8")
    cut = len(text) * 9 // 10
    (folder / "train.txt").write_text("".join(text[:cut].splitlines(keepends=True)[:rows]), encoding="utf-8")
    (folder / "test.txt").write_text(text[cut:], encoding="utf-8")
    stream = ["data.whole=true", "data.carry_state=true", "data.holdout=last"]
    return ["data=files", f"data.path='{folder}'", "tokenizer=char", *stream]


CORPORA = {
    "imdb": classification("imdb", "parquet"),
    "trec": classification("trec", "csv"),
    "mr": classification("mr", "csv"),
    **{f"multi30k {s}-{t}": translation(s, t) for s, t in itertools.permutations(LANGUAGES, 2)},
    "tinyshakespeare": Corpus("generate", "test/loss", ("baseline/kneser_ney_loss",), prepare_shakespeare),
    "ptb": Corpus("generate", "test/loss", ("baseline/kneser_ney_loss",), prepare_ptb),
}


def measure(name: str, size: str, settings: str) -> dict[str, Any]:
    corpus, rows = CORPORA[name], None if size == "all" else int(size)
    with tempfile.TemporaryDirectory() as folder:
        where = corpus.prepare(Path(os.environ["LSTM_READOUT_DATA"]), Path(folder), rows)
        run = Path(folder) / "run"
        words = [f"task={corpus.task}", *where, f"settings={settings}", f"hydra.run.dir='{run}'"]
        quiet = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "lstm_readout", "train", *words]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=quiet)
        metrics = json.loads((run / "metrics.json").read_text())
    best = (min if corpus.score.endswith("loss") else max)(metrics[key] for key in corpus.baselines)
    found = {"score": metrics[corpus.score], "baseline": best, "seconds": metrics["train/seconds"]}
    return {"corpus": name, "size": size, "settings": settings} | found


def read(path: Path) -> dict[tuple[str, str, str], dict[str, Any]]:
    cells = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    return {(cell["corpus"], cell["size"], cell["settings"]): cell for cell in cells}


def table(path: Path) -> Iterator[str]:
    """Yield the lines of a Markdown table: a row per corpus and size."""
    cells = read(path)
    yield "| corpus | training rows | default | `settings=fixed` | baseline | seconds |"
    yield "|---|---|---|---|---|---|"
    for name, size in itertools.product(CORPORA, SIZES):
        default, fixed = (cells.get((name, size, settings)) for settings in SETTINGS)
        if default is None:
            continue
        digits = 1 if CORPORA[name].task == "translate" else 3
        scores = [default["score"], fixed and fixed["score"], default["baseline"]]
        shown = ["" if score is None else f"{score:.{digits}f}" for score in scores]
        yield f"| {name} | {size} | {' | '.join(shown)} | {default['seconds']:.0f} |"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cells", type=Path)
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, default=list(CORPORA))
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=SIZES)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=SETTINGS)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="only print what is in the file")
    given = parser.parse_args(arguments)
    if given.table:
        print("\n".join(table(given.cells)))
        return
    known = read(given.cells)
    wanted = [cell for cell in itertools.product(given.corpora, given.sizes, given.settings) if cell not in known]
    with ThreadPoolExecutor(given.jobs) as pool:
        for cell in pool.map(lambda one: measure(*one), wanted):
            with given.cells.open("a") as file:
                file.write(json.dumps(cell) + "\n")
            print(cell, flush=True)


if __name__ == "__main__":
    main()
