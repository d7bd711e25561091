"""The run folder of a comparison goes in; its page, numbers and pictures in docs/compare, and its tables, come out."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from lstm_readout.errors import UserError


def publish(folder: Path, name: str, docs: Path) -> Path:
    """Copy a comparison to ``docs/compare/NAME``, put its tables into the page of readouts, and return the copy.

    Raises:
        UserError: the folder has no finished comparison.
    """
    if not (folder / "compare.md").is_file():
        raise UserError(f"--comparison: '{folder}' has no compare.md. Give the run folder of a finished comparison.")
    target = docs / "compare" / name
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.glob("*")):
        if path.suffix in (".md", ".json", ".svg"):
            shutil.copyfile(path, target / path.name)
    page = docs / "learn" / "which-output.md"
    tables = tables_of((target / "compare.md").read_text(encoding="utf-8"))
    page.write_text(with_tables(page.read_text(encoding="utf-8"), name, tables), encoding="utf-8")
    return target


def tables_of(page: str) -> dict[str, list[str]]:
    """Return the tables of a compare.md by the heading above them."""
    tables: dict[str, list[str]] = {}
    title = ""
    for line in page.splitlines():
        if line.startswith("#"):
            title = line.lstrip("# ")
        elif line.startswith("|"):
            tables.setdefault(title, []).append(line)
    return tables


def with_tables(text: str, name: str, tables: dict[str, list[str]]) -> str:
    """Return a page with the tables of a comparison between its markers."""

    def table(match: re.Match[str]) -> str:
        return "\n".join([match[1], "", *tables[match[2]], "", "<!-- end -->"])

    return re.sub(rf"(<!-- {name}: (.*?) -->).*?<!-- end -->", table, text, flags=re.S)
