"""Put a comparison into the docs: python scripts/publish_comparison.py RUN_FOLDER NAME.

Copies the page, its numbers and its pictures to docs/compare/NAME, and their tables into docs/learn/which-output.md,
between ``<!-- NAME: TITLE -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"


def tables(page: str) -> dict[str, list[str]]:
    """Return the tables of a compare.md by the heading above them."""
    found: dict[str, list[str]] = {}
    title = ""
    for line in page.splitlines():
        if line.startswith("#"):
            title = line.lstrip("# ")
        elif line.startswith("|"):
            found.setdefault(title, []).append(line)
    return found


def with_tables(text: str, name: str, of_page: dict[str, list[str]]) -> str:
    """Replace what stands between the markers of this comparison."""

    def table(match: re.Match[str]) -> str:
        return "\n".join([match[1], "", *of_page[match[2]], "", "<!-- end -->"])

    return re.sub(rf"(<!-- {name}: (.*?) -->).*?<!-- end -->", table, text, flags=re.S)


def main() -> None:
    folder, name = Path(sys.argv[1]), sys.argv[2]
    target = DOCS / "compare" / name
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.glob("*")):
        if path.suffix in (".md", ".json", ".svg"):
            shutil.copyfile(path, target / path.name)
    page = DOCS / "learn" / "which-output.md"
    of_page = tables((target / "compare.md").read_text(encoding="utf-8"))
    page.write_text(with_tables(page.read_text(encoding="utf-8"), name, of_page), encoding="utf-8")


if __name__ == "__main__":
    main()
