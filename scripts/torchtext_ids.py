"""Prove that ``tokenizer=basic_english`` gives torchtext's tokens and ids.

    LSTM_READOUT_DATA=FOLDER .venv-torchtext/bin/python scripts/torchtext_ids.py write ids.json.gz
    LSTM_READOUT_DATA=FOLDER .venv/bin/python scripts/torchtext_ids.py check ids.json.gz

``write`` uses torchtext alone, its ``basic_english`` and ``build_vocab_from_iterator``, on all training texts of
Multi30k and 5,000 IMDB reviews. ``check`` uses this project alone, in any environment: it prints a Markdown table of
how many vocabularies and rows differ, and the first of those rows; its exit code is their number. With ``--texts``, a
file with a JSON list, both read that instead of the corpora.
"""

import argparse
import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet

from lstm_readout.compare.markdown_table import markdown_table
from lstm_readout.tokenizer import SPECIAL_TOKENS, TextTokenizer

SETTINGS = [(min_freq, max_tokens) for min_freq in (1, 2) for max_tokens in (None, 10_000)]
REVIEWS = 5000
SHOWN = 5
HEADS = ["corpus", "rows", "words", "min_freq", "max_tokens", "vocabulary"]
HEADS += ["vocabularies that differ", "rows that differ"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("write", "check"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--texts", type=Path)
    arguments = parser.parse_args()
    corpora = corpora_of(arguments.texts)
    if arguments.command == "write":
        write(arguments.file, corpora)
    else:
        raise SystemExit(check(arguments.file, corpora))


def corpora_of(texts: Path | None) -> Iterator[tuple[str, list[str]]]:
    """Yield the name and the texts of each corpus."""
    if texts is not None:
        yield texts.stem, json.loads(texts.read_text(encoding="utf-8"))
        return
    folder = Path(os.environ["LSTM_READOUT_DATA"])
    for language in ("en", "de", "fr"):
        with gzip.open(folder / "multi30k" / f"train.{language}.gz", "rt", encoding="utf-8", newline="\n") as file:
            yield f"multi30k {language}", file.read().removesuffix("\n").split("\n")
    yield "imdb", pyarrow.parquet.read_table(folder / "imdb" / "train.parquet")["text"].to_pylist()[:REVIEWS]


def write(path: Path, corpora: Iterator[tuple[str, list[str]]]) -> None:
    """Write what torchtext gives."""
    import torchtext  # pyright: ignore[reportMissingImports]

    torchtext.disable_torchtext_deprecation_warning()
    from torchtext.data import get_tokenizer  # pyright: ignore[reportMissingImports]
    from torchtext.vocab import build_vocab_from_iterator  # pyright: ignore[reportMissingImports]

    written = []
    split = get_tokenizer("basic_english")
    for name, texts in corpora:
        words = [split(text) for text in texts]
        for min_freq, max_tokens in SETTINGS:
            vocab = build_vocab_from_iterator(
                words, min_freq=min_freq, max_tokens=max_tokens, specials=list(SPECIAL_TOKENS)
            )
            vocab.set_default_index(0)
            tokens, ids = vocab.get_itos(), [vocab(row) for row in words]
            about = {"corpus": name, "min_freq": min_freq, "max_tokens": max_tokens}
            written.append({**about, "tokens": tokens, "ids": ids})
            print(name, min_freq, max_tokens, f"{len(tokens):,} tokens")
    content = json.dumps(written, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def check(path: Path, corpora: Iterator[tuple[str, list[str]]]) -> int:
    """Compare with what this project gives; return how many rows and vocabularies differ."""
    content = path.read_bytes()
    given = json.loads(gzip.decompress(content) if path.suffix == ".gz" else content)
    texts = dict(corpora)
    differences = 0
    print("\n".join(markdown_table(HEADS, [])))
    for run in given:
        rows = texts[run["corpus"]]
        tokenizer = TextTokenizer.train(
            rows, kind="basic_english", min_frequency=run["min_freq"], vocab_size=run["max_tokens"]
        )
        column, _ = tokenizer.encode(rows)
        bounds = zip(column.offsets[:-1], column.offsets[1:] - 1, strict=True)  # without <eos>
        other = [i for i, (start, end) in enumerate(bounds) if column.values[start:end].tolist() != run["ids"][i]]
        vocabularies = int(tokenizer.tokens != run["tokens"])
        words = sum(map(len, run["ids"]))
        size = f"{len(run['tokens']):,}"
        cells = [run["corpus"], f"{len(rows):,}", f"{words:,}", run["min_freq"], run["max_tokens"], size]
        print(markdown_table(HEADS, [[*map(str, [*cells, vocabularies, len(other)])]])[-1], flush=True)
        for i in other[:SHOWN]:
            print(f"  {rows[i]!r}")
        differences += len(other) + vocabularies
    return differences


if __name__ == "__main__":
    main()
