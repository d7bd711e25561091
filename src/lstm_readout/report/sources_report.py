"""Where rows come from: ``sources`` of a data report go in; lines on files, labels and held-out rows come out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_MOST_FILES, _MOST_LABELS = 3, 5  # that are named
_HELD_OUT = {
    "stratified": "drawn at random by label",
    "random": "drawn at random",
    "last": "the last ones",
    "every n-th": "evenly spaced",
}


def sentences(sources: Mapping[str, Any]) -> Iterator[str]:
    """Yield one line per split and per fact."""
    for split, files in sources.get("files", {}).items():
        yield f"{split}: {_files(files)}"
    if unread := sources.get("unread"):
        more = ", ..." * (len(unread) > _MOST_FILES)
        yield f"not read, because no split has this name: {', '.join(unread[:_MOST_FILES])}{more}"
    for split, held in sources.get("held_out", {}).items():
        of = f"the {held['of']:,} rows of train" if held["of"] is not None else "train"
        yield f"{split}: held out of {of}, {_HELD_OUT[held['how']]}"
    merged = sources.get("labels", {})
    for written, one in list(merged.items())[:_MOST_LABELS]:
        yield f"label {written!a} counts as {one['label']!r} ({one['rows']:,} rows)"
    if len(merged) > _MOST_LABELS:
        yield f"{len(merged) - _MOST_LABELS:,} more spellings of labels count as others (see data.json)"


def _files(files: Sequence[Mapping[str, Any]]) -> str:
    named = ", ".join(str(one["file"]) for one in files[:_MOST_FILES])
    if len(files) > _MOST_FILES:
        named = f"{len(files):,} files ({named}, ...)"
    counts = [one["rows"] for one in files]
    facts = ["streamed" if None in counts else f"{sum(counts):,} rows", *_dialects(files), *_dropped(files)]
    return f"{named}: {'; '.join(facts)}"


def _dialects(files: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return how tables are written, as far as it is not the usual csv."""
    return list(dict.fromkeys(fact for one in files if "delimiter" in one for fact in _dialect(one)))


def _dialect(table: Mapping[str, Any]) -> Iterator[str]:
    names = {"comma": "commas", "tab": "tabs", "semicolon": "semicolons", "pipe": "pipes"}
    yield names.get(table["delimiter"], f"{table['delimiter']!r} between cells")
    if table["quoting"] == "none":
        yield "quotes are text"
    if not table["header"]:
        yield "no header"
    if table["skip_rows"]:
        yield f"{table['skip_rows']} line(s) skipped above"


def _dropped(files: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    reasons = dict.fromkeys(reason for one in files for reason in one["dropped"])
    for reason in reasons:
        yield f"not read: {sum(one['dropped'].get(reason, 0) for one in files):,} ({reason})"
