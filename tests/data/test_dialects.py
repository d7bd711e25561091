"""Tables as people write them: each way comes back as the same rows, and no line is lost without a number."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from lstm_readout.data.sources import Format, Part, read_files, read_inputs, stream_files
from lstm_readout.errors import UserError

HEADER = "text,label\n"
ROWS = [f"word {i} of it,{'pos' if i % 2 else 'neg'}" for i in range(60)]
TABLE = HEADER + "\n".join(ROWS) + "\n"


def part_of(path: Path, **said: Any) -> Part[Dataset]:
    (part,) = read_files({"train": str(path)}, Path(), given=Format(**said))["train"]
    return part


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


PLAIN = [dict(zip(("text", "label"), row.split(","), strict=True)) for row in ROWS]


@pytest.mark.parametrize(
    ("name", "content", "shown"),
    [
        ("semicolons", TABLE.replace(",", ";"), {"delimiter": "semicolon"}),
        ("tabs", TABLE.replace(",", "\t"), {"delimiter": "tab"}),
        ("pipes", TABLE.replace(",", "|"), {"delimiter": "pipe"}),
        ("excel", f"sep=;\n{TABLE.replace(',', ';')}", {"delimiter": "semicolon", "skip_rows": 1}),
        ("mac", TABLE.replace("\n", "\r"), {"delimiter": "comma"}),
        ("windows", TABLE.replace("\n", "\r\n"), {}),
        ("utf-16", TABLE.encode("utf-16"), {}),
        ("utf-32", TABLE.encode("utf-32"), {}),
        ("mac in utf-16", TABLE.replace("\n", "\r").encode("utf-16"), {}),
        ("no last line end", TABLE.removesuffix("\n"), {"dropped": {}}),
        ("dos", f"{TABLE}\x1a", {"dropped": {"end of file": 1}}),
        ("blank lines", TABLE.replace("\n", "\n\n"), {"dropped": {"blank": 61}}),
        ("two files in one", f"{TABLE}{HEADER}", {"dropped": {"header again": 1}}),
    ],
)
def test_a_table_is_read_as_it_is_written(
    name: str, content: str | bytes, shown: dict[str, Any], tmp_path: Path
) -> None:
    part = part_of(written(tmp_path / "a.csv", content))
    assert part.rows.to_list() == PLAIN
    assert shown.items() <= part.describe().items()
    (streamed,) = stream_files({"train": "a.csv"}, tmp_path)["train"]
    assert list(streamed.rows) == PLAIN


def test_commas_in_the_text_are_no_separators_of_a_table_with_semicolons(tmp_path: Path) -> None:
    content = "text;label\ngood, bad;pos\nso, so;neg\n"
    assert part_of(written(tmp_path / "a.csv", content)).rows["text"][:] == ["good, bad", "so, so"]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16-le", "shift_jis"])
def test_an_encoding_that_is_said_is_read(encoding: str, tmp_path: Path) -> None:
    word = "日本" if encoding == "shift_jis" else "größe"
    path = written(tmp_path / "a.csv", f"text,label\n{word},a\n".encode(encoding))
    assert part_of(path, encoding=encoding).rows["text"][:] == [word]
    inputs = read_inputs(path, "text", "text", Format(encoding=encoding))
    assert (inputs.texts, inputs.rows.to_list()) == ([word], [{"text": word, "label": "a"}])


# --- quotes


def with_quotes(separator: str) -> str:
    """A quote begins a cell of one line and ends a cell twenty lines below, as in tables that know no quotes."""
    lines = [row.replace(",", separator) for row in ROWS]
    lines[5] = f'"{lines[5]}'
    lines[25] = lines[25].replace(separator, f'"{separator}')
    return "\n".join([f"text{separator}label", *lines])


def test_no_row_of_a_table_with_tabs_is_joined_by_quotes(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tsv", with_quotes("\t"))
    part = part_of(path)
    assert len(part.rows) == 60
    assert part.describe()["quoting"] == "none"
    assert part.rows["text"][:][5] == '"word 5 of it'
    (streamed,) = stream_files({"train": str(path)}, Path())["train"]
    assert list(streamed.rows) == part.rows.to_list()
    assert len(part_of(path, quoting="minimal").rows) == 40  # as is said


def test_a_table_with_commas_asks_what_its_quotes_are(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", with_quotes(","))
    with pytest.raises(UserError, match=r"line 7: a quote joins 21 lines, each of 2 cells.*data\.format\.quoting=none"):
        part_of(path)
    assert len(part_of(path, quoting="none").rows) == 60
    assert len(part_of(path, quoting="minimal").rows) == 40


@pytest.mark.parametrize("cell", ['"so" he said', '5" disk', '"whole"', '"', "it's \"", '""'])
def test_a_quote_in_a_table_with_tabs_is_part_of_the_text(cell: str, tmp_path: Path) -> None:
    content = f'text\tlabel\n{cell}\tpos\n"never closed\tneg\n'
    assert part_of(written(tmp_path / "a.tsv", content)).rows["text"][:] == [cell, '"never closed']


def test_a_text_of_several_lines_stays_one_cell(tmp_path: Path) -> None:
    content = 'text,label\n"Hello, world\nbye, you, all",pos\n"a, b\nc, d",neg\n'
    part = part_of(written(tmp_path / "a.csv", content))
    assert part.rows["text"][:] == ["Hello, world\nbye, you, all", "a, b\nc, d"]


def test_a_quote_may_follow_a_blank(tmp_path: Path) -> None:
    content = 'label, text\npos, "good, film"\nneg, bad\n'
    part = part_of(written(tmp_path / "a.csv", content))
    assert part.rows.to_list() == [{"label": "pos", "text": "good, film"}, {"label": "neg", "text": "bad"}]


def test_a_backslash_before_a_quote_is_said(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", 'text,label\n"he said \\"no\\", ok",pos\n')
    assert part_of(path, quoting="backslash").rows["text"][:] == ['he said "no", ok']


# --- headers


@pytest.mark.parametrize("header", ["text, label", " text ,label", "\ufefftext,label", "text\xa0,\u200blabel"])
def test_what_cannot_be_seen_in_a_header_does_not_count(header: str, tmp_path: Path) -> None:
    from lstm_readout.data.sources import select_roles

    rows = part_of(written(tmp_path / "a.csv", TABLE.replace("text,label", header))).rows
    assert select_roles(rows, {"text": "text", "label": "label"}, {}, "here").to_list() == PLAIN


def test_a_first_line_of_data_is_no_header(tmp_path: Path) -> None:
    part = part_of(written(tmp_path / "a.csv", "\n".join(ROWS)))
    assert part.rows.to_list() == [{"0": row["text"], "1": row["label"]} for row in PLAIN]
    assert part.describe()["header"] is False
    pairs = "".join(f"Go {i}.\tVa {i} !\tCC-BY\n" for i in range(30))
    assert part_of(written(tmp_path / "eng-fra.tsv", pairs)).rows[0] == {"0": "Go 0.", "1": "Va 0 !", "2": "CC-BY"}
    assert len(part_of(written(tmp_path / "eng-fra.txt", pairs), delimiter="tab").rows) == 30


@pytest.mark.parametrize("header", ["review,stars", "0,1", ",0", "text,neg"])
def test_names_that_do_not_occur_below_are_a_header(header: str, tmp_path: Path) -> None:
    lines = [row.replace("neg", "0").replace("pos", "1") for row in ROWS]
    part = part_of(written(tmp_path / "a.csv", "\n".join([header, *lines])))
    assert (len(part.rows), part.rows.column_names) == (60, header.split(","))


def test_a_header_is_what_the_user_says(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "\n".join(ROWS))
    assert len(part_of(path, header=True).rows) == 59
    assert len(part_of(written(path, TABLE), header=False).rows) == 61
    assert len(part_of(written(path, f"by the team\n\n{TABLE}"), skip_rows=2).rows) == 60


def test_columns_without_a_name_are_named_by_their_position(tmp_path: Path) -> None:
    part = part_of(written(tmp_path / "a.csv", TABLE.replace("\n", ",,\n")))
    assert part.rows[0] == {**PLAIN[0], "2": "", "3": ""}


# --- what is written comes back


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
SEPARATED = st.sampled_from([(",", "csv"), (";", "csv"), ("|", "csv"), ("\t", "csv"), ("\t", "tsv"), (",", "tsv")])


def part_or_answer(path: Path) -> Part[Dataset]:
    """Where each line of a cell is a row as well, only the user knows, and is asked."""
    try:
        return part_of(path)
    except UserError as error:
        if "data.format.quoting=minimal" not in str(error):
            raise
        return part_of(path, quoting="minimal")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    separated=SEPARATED,
    end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    rows=st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=6),
)
def test_a_table_that_is_written_comes_back(
    separated: tuple[str, str], end: str, quoting: Any, encoding: str, rows: list[tuple[str, ...]], tmp_path: Path
) -> None:
    delimiter, kind = separated
    header = ("text", "label", 'a "third"')
    assume(header not in rows)
    # Where each line of a cell is a row of tabs as well, it is read as such
    assume(delimiter != "\t" or not any("\t" in cell and "\n" in cell for row in rows for cell in row))
    assume(end == "\r\n" or not any("\r" in cell for row in rows for cell in row))  # csv.writer does not quote it
    sink = io.StringIO(newline="")
    csv.writer(sink, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows([header, *rows])
    path = written(tmp_path / f"a.{kind}", sink.getvalue().encode(encoding))
    expected = [dict(zip(header, row, strict=True)) for row in rows]
    part = part_or_answer(path)
    assert part.rows.to_list() == expected
    assert part.dropped == {}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(*[st.text(st.sampled_from('ab "\\,;|'), max_size=8)] * 2), min_size=1, max_size=8))
def test_a_table_without_quotes_comes_back(rows: list[tuple[str, ...]], tmp_path: Path) -> None:
    lines = ["text\tlabel", *("\t".join(row) for row in rows)]
    path = written(tmp_path / "a.tsv", "\n".join(lines) + "\n")
    part = part_of(path, quoting="none")
    assert part.rows.to_list() == [dict(zip(("text", "label"), row, strict=True)) for row in rows]
    assert len(part_of(path).rows) == len(rows)  # whatever its quotes are, no line is joined or lost
