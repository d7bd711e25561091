"""Whatever is wrong with an input, a user reads one message: what came, where, and what to do.

One table: the files, the words of the command line, and the whole text of the message, where ``…`` stands for words
of a library. ``{folder}`` is the folder that the files are in.
"""

from __future__ import annotations

import bz2
import copy
import functools
import gzip
import io
import lzma
import os
import re
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow
import pytest
from datasets import ClassLabel, Features, Value
from hydra import compose, initialize_config_module
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from pyarrow import parquet
from tokenizers import Tokenizer, models

from lstm_readout.commands.train import main as train
from lstm_readout.config.build import build_data
from lstm_readout.config.values import plain_values
from lstm_readout.data.sources import find_files, select_roles_of, stream_files
from lstm_readout.errors import UserError

Content = bytes | str | Callable[[Path], Any]


class Case(NamedTuple):
    """Files of a folder (a function makes what is no plain file), words of the command line, the message."""

    files: dict[str, Content]
    overrides: str
    message: str
    reading: bool = False  # it is found while rows are read, so that a stream tells the same
    training: bool = False  # it takes the model, too, to be found: before the first step


def one(name: str, content: Content, message: str, overrides: str = "") -> Case:
    """Return the case of a single file."""
    return Case({name: content}, f"data.path={{folder}}/{name} {overrides}", message, reading=not overrides)


def as_parquet(columns: Any) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(columns if isinstance(columns, pyarrow.Table) else pyarrow.table(columns), sink)
    return sink.getvalue()


def as_zip(content: str) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", content)
    return sink.getvalue()


def as_tar(content: str) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        member = tarfile.TarInfo("a.csv")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content.encode()))
    return sink.getvalue()


def as_classes(labels: list[int]) -> Callable[[Path], Any]:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["neg", "pos"])})
    table = pyarrow.table({"text": [f"a{i}" for i in range(len(labels))], "label": labels}, features.arrow_schema)
    return lambda path: parquet.write_table(table, path)


ROWS = "text,label\n" + "".join(f"good film {i},pos\nbad film {i},neg\n" for i in range(20))
TWINS = pyarrow.Table.from_arrays([pyarrow.array(["a"])] * 3, names=["text", "label", "text"])
WORDS = gzip.compress("".join(f"word{i * i} " for i in range(50_000)).encode())
CHANGED = WORDS[:2000] + bytes(255 - byte for byte in WORDS[2000:2100]) + WORDS[2100:]
GZIP = "Copy it again; gzip -t tests whether it is complete."
FORMATS = "csv, tsv, json(l), parquet or txt"
QUOTES = (
    "Put quotes around a cell that contains separators, line breaks or quotes, and double the quotes inside; or, if "
    "quotes are ordinary characters here, set data.format.quoting=none."
)
OBJECTS = "Wanted one object per line, or one array of objects."
LATIN = f"Wanted a {FORMATS} file; name another encoding, for example data.format.encoding=cp1252 (Windows) or latin-1."
NAME_LABEL = "Say which one is the label: data.columns.label=NAME."
NO_TEXT = "wanted text or numbers. Write it as text, or name another column: data.columns.text=NAME."

CASES: dict[str, Case] = {
    # --- rows that cannot be read
    "csv: a cell too many": one(
        "a.csv",
        "text,label\ngood,pos\nso, so,neg\n",
        f"data: could not read '{{folder}}/a.csv', line 3: 3 cell(s), but the header has 2. {QUOTES}",
    ),
    "csv: a cell too few, below a cell of two lines": one(
        "a.csv",
        'text,label\n"two\nlines",pos\nbad\n',
        f"data: could not read '{{folder}}/a.csv', line 4: 1 cell(s), but the header has 2. {QUOTES}",
    ),
    "csv: a quote that stays open": one(
        "a.csv",
        'text,label\ngood,pos\n"bad,neg\nx,pos\n',
        f"data: could not read '{{folder}}/a.csv', line 3: …. {QUOTES}",
    ),
    "tsv: a quote that is not doubled, and a cell too many": one(
        "a.tsv",
        'text\tlabel\n"so" he said\tpos\na\tb\tc\n',
        f"data: could not read '{{folder}}/a.tsv', line 2: …. {QUOTES}",
    ),
    "csv: a quote that joins what may be rows": one(
        "a.csv",
        'text,label\ngood,pos\n"bad,neg\nfine"\n,pos\nso",neg\n'.replace('"\n,', ","),
        "data: '{folder}/a.csv', line 3: a quote joins 3 lines, each of 2 cells, which may be rows. If quotes are "
        "ordinary "
        "characters here: data.format.quoting=none. If this cell has line breaks: data.format.quoting=minimal.",
    ),
    "csv: a line above the header": one(
        "a.csv",
        "# by the team\ntext,label\na,pos\n",
        "data: could not read '{folder}/a.csv', line 2: 2 cell(s), but the header has 1. Is there a line above the "
        "header? Then data.format.skip_rows=1. Does another character separate the cells? Then "
        "data.format.delimiter=...",
    ),
    "csv: a line above the header, of as many cells": one(
        "a.csv",
        "by the team, 2024\ntext,label\na,pos\n",
        "data.columns.text: files (train) has no column 'text'; it has: by the team,  2024. Line 2 has them: skip "
        "what is "
        "above the header, data.format.skip_rows=1.",
    ),
    "csv: a cell without end": one(
        "a.csv",
        lambda path: path.write_text("text,label\na,b\n" + "x " * 17_000_000 + ",a\n"),
        f"data: could not read '{{folder}}/a.csv', line 3: a cell of more than 33,554,432 characters: a quote that is "
        f"never closed, or a whole corpus. {QUOTES}",
    ),
    "csv: no header": one(
        "a.csv",
        "good film,pos\nbad film,neg\nso,pos\n",
        "data.columns.text: files (train) has no column 'text'; it has: 0, 1. It seems to have no header: its first "
        "line "
        "is 'good film', 'pos'. Name columns by their position: data.columns.text=0 data.columns.label=1; or, if that "
        "line is a header: data.format.header=true.",
    ),
    "csv: no header, and nothing that shows it": one(
        "a.csv",
        "a good film,0.5\na bad one,0.1\n",
        "data.columns.text: files (train) has no column 'text'; it has: a good film, 0.5. Say which one is the text: "
        "data.columns.text=NAME. If the file has no header: data.format.header=false data.columns.text=0 "
        "data.columns.label=1.",
    ),
    "csv: quotes behind a backslash": one(
        "a.csv",
        'text,label\n"he said \\"no\\", ok",pos\n',
        "data: could not read '{folder}/a.csv', line 2: … expected after …. If a backslash is before a quote inside a "
        "cell: data.format.quoting=backslash.",
    ),
    "csv: names in capitals": one(
        "a.csv",
        "Text,Label\na,pos\n",
        "data.columns.text: files (train) has no column 'text'; it has: Text, Label. Say which one is the text: "
        "data.columns.text=Text.",
    ),
    "csv: a label that cannot be seen": one(
        "a.csv",
        "text,label\na,pos\nb,\u200b\n",
        "data: row 2 of files (train) has no label in column 'label'. Fill it or drop the row.",
    ),
    "a folder of several splits for one": Case(
        {"below": Path.mkdir, "below/train.csv": ROWS, "below/test.csv": ROWS},
        "data.path={folder} data.files.train=below",
        "data: '{folder}/below' has files of several splits (test, train). Name the folder in data.path, or its files "
        "in data.files.",
    ),
    "a number for a file": Case(
        {},
        "data.files.train=5",
        "data.files: wanted a path, a pattern or a list of these, got 5. For example: a.csv.",
    ),
    "several parallel files": Case(
        {"a.de": "a\n", "b.de": "b\n", "a.en": "c\n"},
        "task=translate data.path={folder} data.files.train={source:[a.de,b.de],target:a.en}",
        "data.files: parallel text has one file for each column, got 2. Join them first: cat.",
    ),
    "a list with a file that is not there": Case(
        {"a.csv": ROWS},
        "data.path={folder} data.files.train=[a.csv,b.csv]",
        f"data: no such file: '{{folder}}/b.csv'. Give a {FORMATS} file.",
    ),
    "csv: another separator": one(
        "a.csv",
        "text:label\na:pos\n",
        "data.columns.text: files (train) has no column 'text'; it has: text:label. Say which one is the text: "
        "data.columns.text=NAME. If another character separates the cells: data.format.delimiter=...",
    ),
    "txt: a table": one(
        "a.txt",
        "Go.\tVa !\tCC-BY\nHi.\tSalut !\tCC-BY\n",
        "data.columns.source: files (train) has no column 'source'; it has: text. It is read as plain text, but its "
        "lines "
        "have 3 cells with tabs between them. As a table: data.format.delimiter=tab data.columns.source=0 "
        "data.columns.target=1 if it has no header.",
        "task=translate",
    ),
    "a number for a name": one(
        "a.csv",
        ROWS,
        "data.columns.text: files (train) has no column '0'; it has: text, label. A number is no name: column 0 is "
        "data.columns.text='text'. Positions are for a table without a header: data.format.header=false.",
        "data.columns.text=0",
    ),
    **{
        f"data.format: {given}": one("a.csv", ROWS, message, f"data.format.{given}")
        for given, message in (
            ("delimiter=semikolon", "data.format.delimiter: wanted one character or a name, got 'semikolon'. Did you…"),
            ("quoting=all", "data.format.quoting: there is no 'all'. Valid: auto, backslash, minimal, none."),
            ("header=1", "data.format.header: there is no '1'. Valid: auto, false, true."),
            ("skip_rows=-1", "data.format.skip_rows: wanted a number of lines, got -1."),
            ("encoding=utf-7bit", "data.format.encoding: there is no 'utf-7bit'. Name one of Python's, such as …"),
        )
    },
    "csv: a lone carriage return": one(
        "a.csv",
        "text,label\ngood\rbad,pos\n",
        f"data: could not read '{{folder}}/a.csv', line 2: …. {QUOTES}",
    ),
    "csv: a column named twice": one(
        "a.csv",
        "text,label,text\na,b,c\n",
        "data: '{folder}/a.csv' has more than one column 'text'. Rename or remove one. If they are data, the file "
        "has no header: data.format.header=false.",
    ),
    "jsonl: a broken line": one(
        "a.jsonl",
        '{"text": "a", "label": "b"}\n\n{"text": "a"\n',
        f"data: could not read '{{folder}}/a.jsonl', line 3: … delimiter (column …). {OBJECTS}",
    ),
    "json: a broken array": one(
        "a.json",
        '[\n{"text": 1},\n{"text" 2}]',
        f"data: could not read '{{folder}}/a.json', line 3: … delimiter (column 9). {OBJECTS}",
    ),
    "json: an object over several lines": one(
        "a.json",
        '{\n"text": "a"\n}\n',
        f"data: could not read '{{folder}}/a.json', line 1: … (column …). {OBJECTS}",
    ),
    "jsonl: a line that is no object": one(
        "a.jsonl",
        '{"text": "a"}\n"b"\n',
        "data: line 2 of '{folder}/a.jsonl': wanted an object, got 'b'. Give each value a name.",
    ),
    "json: a row of the array that is no object": one(
        "a.json",
        '[{"text": "a"}, ["b"]]',
        "data: row 2 of '{folder}/a.json': wanted an object, got \"['b']\". Give each value a name.",
    ),
    "jsonl: a name twice in an object": one(
        "a.jsonl",
        '{"text": "a", "label": "b"}\n{"text": "a", "label": "b", "text": "c"}\n',
        "data: '{folder}/a.jsonl', line 2 or below: an object has 'text' twice. Rename or remove one.",
    ),
    "jsonl: half an escape": one(
        "a.jsonl",
        '{"text": "\\ud83d\\ude00", "label": "b"}\n{"text": "\\ud83d", "label": "b"}\n',
        "data: line 2 of '{folder}/a.jsonl' has an escape that is not a character (half of a pair). Remove it.",
    ),
    "jsonl: nested without end": one(
        "a.jsonl",
        '{"text": ' + "[" * 200_000,
        "data: '{folder}/a.jsonl', line 1 is nested too deeply to read. Wanted plain values.",
    ),
    "parquet: text of that name": one(
        "a.parquet", "text,label\na,b\n", "data: could not read '{folder}/a.parquet' as parquet: …. Write it again."
    ),
    "parquet: cut short": one(
        "a.parquet",
        as_parquet({"text": ["a"], "label": ["b"]})[:-20],
        "data: could not read '{folder}/a.parquet' as parquet: …. Write it again.",
    ),
    "parquet: a column named twice": one(
        "a.parquet",
        as_parquet(TWINS),
        "data: '{folder}/a.parquet' has more than one column 'text'. Rename or remove one.",
    ),
    "parallel files of different length": Case(
        {"a.de": "eins\nzwei\ndrei\n", "a.en": "one\ntwo\n"},
        "task=translate data.path={folder} data.files.train={source:a.de,target:a.en}",
        "data: parallel files must have the same number of lines: '{folder}/a.de' has 3, '{folder}/a.en' has 2. "
        "Line i of one must translate line i of the other.",
    ),
    "parallel files that are tables": Case(
        {"a.csv": ROWS, "a.en": "one\ntwo\n"},
        "task=translate data.path={folder} data.files.train={source:a.csv,target:a.en}",
        "data.files: parallel files are plain text, one sentence per line; got '{folder}/a.csv' for 'source'. "
        "For a split, name one file with all columns: data.files.train=FILE.",
    ),
    # --- no rows
    **{
        f"{kind}: an empty file": one(
            f"a.{kind}", b"", f"data: '{{folder}}/a.{kind}' is empty (0 bytes). Give a file with text."
        )
        for kind in ("csv", "tsv", "json", "jsonl", "parquet", "txt")
    },
    "gz: an empty file, packed": one(
        "a.csv.gz", gzip.compress(b""), "data: '{folder}/a.csv.gz' is empty (0 bytes). Give a file with text."
    ),
    **{
        name: one(file, content, f"data: '{{folder}}/{file}' has no rows. Give a {FORMATS} file with at least one.")
        for name, file, content in (
            ("csv: a header alone", "a.csv", "text,label\n"),
            ("csv: blank lines alone", "a.csv", "\n\n"),
            ("json: an empty array", "a.json", "[]"),
            ("jsonl: blank lines alone", "a.jsonl", "\n\n"),
            ("parquet: columns alone", "a.parquet", as_parquet({"text": [], "label": []})),
            ("txt: a byte order mark alone", "a.txt", b"\xef\xbb\xbf"),
        )
    },
    # --- files of another kind than they are named
    "gz: no gzip": one(
        "a.csv.gz",
        "text,label\na,b\n",
        "data: '{folder}/a.csv.gz' is named .gz, but is not gzip: it starts with b'text,label\\na,b\\n'. "
        "Rename it to 'a.csv', or pack it: gzip.",
    ),
    **{
        f"{name}: {damage}": one(name, content, f"data: '{{folder}}/{name}' is {told}. {GZIP}")
        for name in ("a.csv.gz", "a.jsonl.gz", "a.parquet.gz", "a.txt.gz")
        for damage, content, told in (
            ("cut short", WORDS[:-2000], "truncated: its gzip has no end"),
            ("changed inside", CHANGED, "damaged (…)"),
            ("of a wrong sum", WORDS[:-6] + b"wrong.", "damaged (…)"),
        )
    },
    "gzip that is not named so": one(
        "a.csv",
        gzip.compress(ROWS.encode()),
        "data: '{folder}/a.csv' is gzip. Rename it to 'a.csv.gz', or unpack it first: gzip -dc {folder}/a.csv > "
        "NEW_FILE",
    ),
    **{
        f"{kind} in {name}": one(
            name,
            content,
            f"data: '{{folder}}/{name}' is {kind}. Unpack it first: {command} {{folder}}/{name} > NEW_FILE",
        )
        for kind, name, content, command in (
            ("a zip archive or an office document", "a.csv", as_zip(ROWS), "unzip -p"),
            ("bzip2", "a.csv.bz2", bz2.compress(ROWS.encode()), "bzip2 -dc"),
            ("xz", "a.txt", lzma.compress(ROWS.encode()), "xz -dc"),
            ("zstd", "a.jsonl", b"\x28\xb5\x2f\xfd\x04\x58", "zstd -dc"),
            ("a tar archive", "a.tar", as_tar(ROWS), "tar -xOf"),
            ("xz", "a.csv.gz", lzma.compress(ROWS.encode()), "xz -dc"),
        )
    },
    "a spreadsheet": one(
        "a.xlsx", as_zip(ROWS), "data: '{folder}/a.xlsx' is a spreadsheet. Save it as csv (UTF-8) first."
    ),
    **{
        f"{kind} in a gzip": one(
            "a.csv.gz",
            gzip.compress(content),
            f"data: '{{folder}}/a.csv.gz' is gzip that contains {kind}. Unpack it first: "
            "gzip -dc {folder}/a.csv.gz > NEW_FILE",
        )
        for kind, content in (
            ("gzip", gzip.compress(ROWS.encode())),
            ("a tar archive", as_tar(ROWS)),
        )
    },
    "parquet that is not named so": one(
        "a.txt",
        as_parquet({"text": ["a"]}),
        "data: '{folder}/a.txt' is a parquet file, not text. Rename it so that it ends in .parquet.",
    ),
    # --- text that is no UTF-8
    **{
        f"{name}: Latin-1": one(
            name,
            content.encode("latin1"),
            f"data: '{{folder}}/{name}' is not UTF-8 text (line {line}, byte 0xf6). {LATIN}",
        )
        for name, content, line in (
            ("a.txt", "gut\nschön\nmüde\n", 2),
            ("a.csv", "text,label\nschön,a\nmüde,b\n", 2),
            ("a.json", '{"text": "ö"}', 1),
        )
    },
    "txt: a line of Latin-1 among UTF-8": one(
        "a.txt",
        "grün\nschön\n".encode() * 3 + "müde\n".encode("latin1") + b"gut\n",
        "data: '{folder}/a.txt' mixes encodings: line 7, byte 0xfc is not UTF-8, though other lines are. Rewrite "
        "that line; iconv -c -f UTF-8 -t UTF-8 drops what is not UTF-8.",
    ),
    "csv: Latin-1 far below UTF-8": one(
        "a.csv",
        ("text,label\n" + "grün,a\n" * 100_000).encode() + "müde,b\n".encode("latin1") * 9,
        "data: '{folder}/a.csv' mixes encodings: line 100,002, byte 0xfc is not UTF-8, though other lines are. "
        "Rewrite that line; iconv -c -f UTF-8 -t UTF-8 drops what is not UTF-8.",
    ),
    "csv: UTF-16 that is cut short": one(
        "a.csv",
        ROWS.encode("utf-16") + b"x",
        "data: '{folder}/a.csv' is not utf-16 text (line 42 or below, byte 0x78). Name its encoding: "
        "data.format.encoding=...",
    ),
    "csv: another encoding than is said": one(
        "a.csv",
        "text,label\nschön,a\n",
        "data: '{folder}/a.csv' is not ascii text (line 1 or below, byte 0xc3). Name its encoding: "
        "data.format.encoding=...",
        "data.format.encoding=ascii",
    ),
    **{
        name: one(
            "a.txt",
            content,
            f"data: '{{folder}}/a.txt' is not text: line {line} has a NUL byte. Wanted a {FORMATS} file. If it is "
            "UTF-16: data.format.encoding=utf-16-le; tr -d '\\000' removes a stray NUL.",
        )
        for name, content, line in (
            ("txt: UTF-16 without its mark", "gut\nschön".encode("utf-16-le"), 1),
            ("txt: a stray NUL", "gut\n\0\n", 2),
            ("txt: a picture", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 3),
        )
    },
    "a pdf": one(
        "a.pdf",
        b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
        f"data: '{{folder}}/a.pdf' is not UTF-8 text (line 2, byte 0xe2). {LATIN}",
    ),
    # --- paths
    "a file that is not there": Case(
        {},
        "data.path={folder}/nowhere.csv",
        f"data.path: no such file: '{{folder}}/nowhere.csv'. Give a {FORMATS} file, or a folder.",
    ),
    "a file of a split that is not there": Case(
        {},
        "data.path={folder} data.files.train=nowhere.csv",
        f"data: no such file: '{{folder}}/nowhere.csv'. Give a {FORMATS} file.",
    ),
    "a folder without data": Case(
        {"notes.md": "# Notes", "old": Path.mkdir},
        "data.path={folder}",
        "data.path: '{folder}' has no file train.*; it contains notes.md, old. Rename one, or name it in data.files.",
    ),
    "an empty folder": Case(
        {},
        "data.path={folder}",
        "data.path: '{folder}' has no file train.*; it contains nothing. Rename one, or name it in data.files.",
    ),
    "two training files": Case(
        {"train.csv": ROWS, "train.csv.gz": gzip.compress(ROWS.encode())},
        "data.path={folder}",
        "data.path: '{folder}' has 2 files for train (train.csv, train.csv.gz); name one in data.files.",
    ),
    "a folder for a file": Case(
        {"below": Path.mkdir, "below/a.pdf": ROWS},
        "data.path={folder} data.files.train=below",
        "data: '{folder}/below' is a folder, wanted a file; it contains a.pdf. Name one of its files.",
    ),
    "a link that leads nowhere": one(
        "a.csv",
        lambda path: path.symlink_to("gone.csv"),
        "data: '{folder}/a.csv' is a link to 'gone.csv', which does not exist. Fix the link.",
    ),
    "a pipe": one(
        "a.csv",
        os.mkfifo,
        "data: '{folder}/a.csv' is a pipe or a device, which cannot be read twice. Write it to a file first.",
    ),
    "no file at all": Case(
        {}, "", "data.path: no file given. For example: data=files data.path=reviews.csv (or data.files.train=...)."
    ),
    "no training split": Case(
        {"a.csv": ROWS},
        "data.files.test={folder}/a.csv",
        "data: files has no training split; it has: test. Name its file: data.files.train=...",
    ),
    "a split that there is not": Case(
        {"a.csv": ROWS},
        "data.files.train={folder}/a.csv +data.files.valid={folder}/a.csv",
        "data.files: there is no split 'valid'. Did you mean 'validation'? Valid: test, train, validation.",
    ),
    "a hub id without a commit": Case(
        {},
        "data.hub={path:nobody/nothing}",
        "data.hub: wanted path and revision (a commit, so that the rows cannot change), got nobody/nothing, None.",
    ),
    # --- columns and values
    "a missing role": one(
        "a.csv",
        "review,stars\ngood,5\n",
        "data.columns.text: files (train) has no column 'text'; it has: review, stars. "
        "Say which one is the text: data.columns.text=NAME.",
    ),
    "a column that is not there": one(
        "a.csv",
        ROWS,
        f"data.columns.label: files (train) has no column 'stars'; it has: text, label. {NAME_LABEL}",
        "data.columns.label=stars",
    ),
    **{
        f"{name} for text": one(
            name,
            content,
            f"data.columns.text: column 'text' of files (train) contains lists, objects or bytes; {NO_TEXT}",
        )
        for name, content in (
            ("bytes.parquet", as_parquet({"text": [b"a"], "label": ["x"]})),
            ("lists.parquet", as_parquet({"text": [["a"]], "label": ["x"]})),
            ("objects.jsonl", '{"text": "a", "label": "x"}\n{"text": {"b": 1}, "label": "x"}\n'),
        )
    },
    **{
        name: one(
            file,
            content,
            f"data: row {row} of files (train) has no label in column 'label'. Fill it or drop the row.",
        )
        for name, file, content, row in (
            ("csv: an empty label", "a.csv", "text,label\na,pos\nb,\n", 2),
            ("csv: a blank label", "a.csv", "text,label\na,  \nb,pos\n", 1),
            ("jsonl: a label that is missing", "a.jsonl", '{"text": "a", "label": "x"}\n{"text": "b"}\n', 2),
            ("jsonl: a label that is null", "a.jsonl", '{"text": "a", "label": null}\n', 1),
            ("parquet: a label that is null", "a.parquet", as_parquet({"text": ["a", "b"], "label": [1, None]}), 2),
            ("parquet: a class that is null", "a.parquet", as_classes([1, 0, -1]), 3),
        )
    },
    "parquet: a class without a name": one(
        "a.parquet",
        as_classes([0, 1, 2]),
        "data.columns.label: row 3 of files (train) has 2 in column 'label'; wanted text or numbers. Write it as "
        "text, or name another column: data.columns.label=NAME.",
    ),
    "one label": Case(
        {"a.csv": "text,label\na,pos\nb,pos\nc,pos\n"},
        "data.path={folder}/a.csv",
        "data: the training split of files has only one label: 'pos'. Give it rows with another label, or name another "
        "column: data.columns.label=NAME.",
    ),
    "a label that train lacks": one(
        "a.csv",
        "text,label\n" + "a,pos\nb,neg\n" * 20 + "c,odd\n",
        "data.holdout=last: all rows of 1 label(s) went to the validation split: 'odd'. Set data.holdout=stratified, "
        "which "
        "leaves a row of each to train.",
        "data.holdout=last",
    ),
    "labels that only the test file has": Case(
        {"train.csv": ROWS, "test.csv": "text,label\na,odd\nb,new\n"},
        "data.path={folder}",
        "data: the test split has 2 label(s) that the training split lacks: 'new', 'odd'. Known: 'neg', "
        "'pos'. Add rows with these labels there, or drop them here.",
    ),
    # --- what the corpus is to be used for
    "too few rows": Case(
        {"a.csv": "text,label\na,pos\nb,neg\n"},
        "data.path={folder}/a.csv",
        "data: files has 2 row(s), each with a label of its own: too few to hold out a validation split. Give it more "
        "rows, or set data.validation=0.",
    ),
    "a short document": one(
        "a.txt",
        "x",
        "data: one text of 1 character(s) is too short to hold out a validation split. Give it more text, or "
        "set data.validation=0.",
        "task=generate data.whole=true",
    ),
    "a share of one": one(
        "a.csv", ROWS, "data.test: wanted a share between 0 and 1, got 1.0.", "data.test=1.0"
    ),
    "no row asked for": one("a.csv", ROWS, "data.max_rows: wanted 1 or more, got 0.", "data.max_rows=0"),
    "an unknown way to hold out": one(
        "a.csv",
        ROWS,
        "data.holdout: there is no 'lats'. Did you mean 'last'? Valid: last, random, stratified.",
        "data.holdout=lats",
    ),
    "a stream for classes": one(
        "a.csv",
        ROWS,
        "data.carry_state=true: only task=generate carries … Set data.carry_state=false.",
        "data.carry_state=true",
    ),
    "a vocabulary too small": one(
        "a.csv", ROWS, "tokenizer.vocab_size: wanted 4 or more for word, got 3…", "tokenizer.vocab_size=3"
    ),
    "text without a word": one("a.txt", " \n" * 20, "tokenizer…no word token…", "task=generate"),
    "a text for a label": Case(
        {"a.csv": "text,label\n" + "".join(f"x,text {i}\n" for i in range(100))},
        "data.path={folder}/a.csv",
        "data.columns.label: each of the 100 rows of files has a label of its own, so that none can be held out. If "
        "that column is text, name that of the labels: data.columns.label=NAME. Otherwise set data.validation=0.",
    ),
    "as many labels as rows": one(
        "a.csv",
        "text,label\n" + "".join(f"x,text {i}\n" for i in range(10_000)),
        "data.columns.label: files has 10,000 different labels in 10,000 training rows; is that column text? Name the "
        "one with the labels: data.columns.label=NAME, or allow this many: data.max_labels=10000.",
        "data.columns.label=label data.validation=0 data.test=0",
    ),
    "a tokenizer.json without special tokens": Case(
        {"a.csv": ROWS, "t.json": Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a")).to_str()},
        "data.path={folder}/a.csv tokenizer=file tokenizer.path={folder}/t.json",
        "tokenizer.eos_token: '{folder}/t.json' has none of the usual tokens that end a text.…",
    ),
    "a sample to stream": Case(
        {},
        "data=sample data.streaming=true",
        "data.streaming=true: data=sample is generated in memory. Set data.streaming=false.",
    ),
    "a whole document to stream": one(
        "a.txt", "a b\n", "data.whole=true…data.streaming…", "task=generate data.whole=true data.streaming=true"
    ),
    "word vectors of another width": Case(
        {"a.csv": ROWS, "v.txt": "good 1 2 3\nbad 4 5 6\n"},
        "data.path={folder}/a.csv vectors=file vectors.path={folder}/v.txt model.embedding_size=4",
        "vectors.path: '{folder}/v.txt' has 3 numbers per word; model.embedding_size is 4. Set model.embedding_size=3.",
        training=True,
    ),
    "a schedule over a stream of unknown length": Case(
        {"a.csv": ROWS},
        "data.path={folder}/a.csv data.streaming=true scheduler=cosine",
        "scheduler=cosine: wanted the number of steps, but a streamed corpus has no length. Set trainer.max_steps=..., "
        "or scheduler=constant.",
        training=True,
    ),
    "a share of a stream of unknown length": Case(
        {"a.csv": ROWS},
        "data.path={folder}/a.csv data.streaming=true scheduler=constant trainer.limit_train_batches=0.5",
        "trainer: …limit_train_batches…",
        training=True,
    ),
}  # fmt: skip
# What only one of the two ways to read can tell, or tells in another way
STREAMED = {
    "json: a broken array": "data: '{folder}/a.json' is one JSON array, which must be read whole. Set "
    "data.streaming=false, or write one object per line: jq -c '.[]' {folder}/a.json > NEW_FILE.jsonl",
    "json: a row of the array that is no object": "data: '{folder}/a.json' is one JSON array…",
    "json: an empty array": "data: '{folder}/a.json' is one JSON array…",
    "objects.jsonl for text": "data.columns.text: row 2 of files (train) has {'b': '1'} in column 'text'; " + NO_TEXT,
}
ROLES = {"text": "text", "label": "label"}


@functools.cache
def composed(choices: tuple[str, ...]) -> DictConfig:
    with initialize_config_module("lstm_readout.configs", version_base="1.3"):
        config = compose("train", ["task=classify", "data=files", *choices])
    return OmegaConf.masked_copy(config, ["task", "data", "tokenizer", "seed"])


def configured(overrides: str) -> DictConfig:
    """Return what the command line gives; Hydra composes each choice of groups once: that is the slow part."""
    words = overrides.split()
    choices = [word for word in words if "." not in word.partition("=")[0]]
    config = copy.deepcopy(composed(tuple(choices)))
    for override in OverridesParser.create().parse_overrides([word for word in words if word not in choices]):
        OmegaConf.update(config, override.key_or_group, override.value())
    return config


def write(case: Case, folder: Path) -> None:
    for name, content in case.files.items():
        if callable(content):
            content(folder / name)
        else:
            (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


def assert_told(error: UserError, message: str, folder: Path) -> None:
    parts = message.replace("{folder}", str(folder)).split("…")
    assert re.fullmatch(".*".join(map(re.escape, parts)), str(error)), str(error)
    assert len(str(error)) < 500 + 4 * len(str(folder))


@pytest.fixture(autouse=True)
def _no_local_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LSTM_READOUT_DATA", raising=False)


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_told_in_one_clear_message(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(CASES[case], tmp_path)
    overrides = CASES[case].overrides.replace("{folder}", str(tmp_path))
    if CASES[case].training:
        with pytest.raises(SystemExit, match="2"):
            train(["task=classify", "data=files", *overrides.split(), f"hydra.run.dir={tmp_path}/run"])
        assert_told(UserError(capsys.readouterr().err.removeprefix("error: ")), CASES[case].message, tmp_path)
        return
    with pytest.raises(UserError) as caught:
        build_data(plain_values(configured(overrides)))
    assert_told(caught.value, CASES[case].message, tmp_path)


def rows_of(files: dict[str, str]) -> list[dict[str, Any]]:
    (part,) = stream_files(files, Path())["train"]
    return list(select_roles_of(part.rows, ROLES, {}, "files (train)", part.head))


@pytest.mark.parametrize("case", [case for case in CASES if CASES[case].reading])
def test_a_stream_tells_the_same(case: str, tmp_path: Path) -> None:
    write(CASES[case], tmp_path)
    (name,) = CASES[case].files
    with pytest.raises(UserError) as caught:
        rows_of(find_files(tmp_path / name))
    assert_told(caught.value, STREAMED.get(case) or CASES[case].message, tmp_path)


def test_a_column_of_no_role_is_refused(capsys):
    with pytest.raises(SystemExit):
        train(["+data.columns.lable=x", "data.max_rows=50"])
    assert "data.columns.lable: there is no such column. Did you mean 'label'?" in capsys.readouterr().err
