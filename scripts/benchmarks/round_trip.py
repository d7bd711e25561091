"""Measure what each kind of tokenizer loses: BLEU of ``decode(encode(text))`` against the text.

    python scripts/benchmarks/round_trip.py train.en.gz val.en.gz

Both files hold one text per line. Each choice of ``configs/tokenizer`` is fitted on the first and encodes the second.
Prints a Markdown table with a row per kind; ``joined`` is the BLEU of the tokens joined by spaces.
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module
from sacrebleu.metrics.bleu import BLEU
from tokenizers import Tokenizer, decoders

from lstm_readout.compare.markdown_table import markdown_table
from lstm_readout.tokenizer import TextTokenizer, unknown_rate

WORDS = {"word": " ", "basic_english": " ", "wordpiece": "##"}  # kind -> what marks a piece that goes on with a word
KINDS = ["byte", "char", "bpe", "unigram", "wordpiece", "word", "basic_english"]
HEADS = ["kind", "ids", "tokens per text", "unknown", "joined", "BLEU", "case ignored", "unchanged"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("held_out", type=Path)
    arguments = parser.parse_args()
    train, held_out = read(arguments.train), read(arguments.held_out)
    rows = [[f"`{kind}`", *row(kind, train, held_out)] for kind in KINDS]
    print("\n".join(markdown_table(HEADS, rows)))


def row(kind: str, train: list[str], held_out: list[str]) -> list[str]:
    with initialize_config_module("lstm_readout.configs", version_base="1.3"):
        composed = compose("train", overrides=["settings=fixed", f"tokenizer={kind}"]).tokenizer
    options: Any = {key: value for key, value in composed.items() if str(key)[0] != "_"}
    tokenizer = TextTokenizer.train(train, **options)
    column, _ = tokenizer.encode(held_out)
    rows = [column.row(i).tolist() for i in range(len(held_out))]
    written = [tokenizer.decode(ids) for ids in rows]
    plain = "" if kind not in WORDS else f"{bleu(joined(tokenizer, WORDS[kind], rows), held_out):.1f}"
    unchanged = sum(one == other for one, other in zip(written, held_out, strict=True)) / len(held_out)
    cells = [f"{len(tokenizer):,}", f"{len(column.values) / len(rows) - 1:.1f}", f"{100 * unknown_rate(column):.1f} %"]
    cells += [plain, f"{bleu(written, held_out):.1f}", f"{bleu(written, held_out, lowercase=True):.1f}"]
    return [*cells, f"{100 * unchanged:.1f} %"]


def joined(tokenizer: TextTokenizer, prefix: str, rows: list[list[int]]) -> list[str]:
    backend = Tokenizer.from_str(tokenizer.backend.to_str())
    backend.decoder = decoders.WordPiece(prefix=prefix, cleanup=False)
    return [backend.decode(ids[:-1], skip_special_tokens=False) for ids in rows]


def bleu(written: list[str], held_out: list[str], lowercase: bool = False) -> float:
    return BLEU(lowercase=lowercase, force=True).corpus_score(written, [held_out]).score


def read(path: Path) -> list[str]:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", newline="\n") as file:
        return file.read().removesuffix("\n").split("\n")


if __name__ == "__main__":
    main()
