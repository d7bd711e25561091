"""The documentation builds without a broken link, loads nothing from elsewhere, reads plainly, says what is there."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import json
import os
import pkgutil
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import lstm_readout
from repository.test_rooms import FLOORS, MODULES, imported, name_of, room_of

pytestmark = pytest.mark.slow  # it does not depend on torch's version

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GENERATED = [DOCS / "results.md", *sorted((DOCS / "compare").rglob("*.md"))]
OUTSIDE = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]  # of the site
PAGES = [*OUTSIDE, *sorted({*DOCS.rglob("*.md")} - {*GENERATED})]
LONGEST_SENTENCE = 40  # words
EXPORTING = [
    "",
    "doctor",
    "inference",
    "inference.decoding",
    "models",
    "nn",
    "tasks",
    "tokenizer",
]  # what __all__ names
OPEN = ["nn", "training"]  # every public name of every module


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


class Tags(HTMLParser):
    """Collects what a page loads, and the ids that can be linked to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.ids: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids.add(given.get("id", ""))
        if tag == "link" and given.get("rel") not in ("prev", "next", "canonical"):
            self.loaded.append(given.get("href", ""))
        elif tag not in ("a", "link", "form"):
            self.loaded += [given.get(name, "") for name in ("src", "srcset", "data", "poster", "style")]


def loaded_from_elsewhere(site: Path) -> list[str]:
    """Return every script, stylesheet, font, image or frame with an address of its own."""
    found = [
        f"{path.name}: {address}"
        for path in site.rglob("*.html")
        for address in Tags(path.read_text(encoding="utf-8")).loaded
        if re.search(r"(https?:)?//", address)
    ]
    for path in [*site.rglob("*.css"), *site.rglob("*.html")]:
        text = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.S)
        found += [f"{path.name}: {use}" for use in re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//[^)]*", text)]
    return found


def sentences(page: str) -> list[str]:
    """Return the sentences of a page in Markdown, without code, tables, headings and addresses."""
    text = re.sub(r"^( *)(```|~~~).*?^\1\2 *$", "\n\n", page, flags=re.S | re.M)
    text = re.sub(r"<!--.*?-->|!\[.*?\]\(.*?\)", "", text, flags=re.S)
    text = re.sub(r"\]\([^)]*\)", "]", re.sub(r"`[^`]*`", "code", text))
    text = re.sub(r"^ *(\||#|:::).*$", "", text, flags=re.M)
    blocks = re.split(r"\n\s*\n|^ *(?:[-*]|\d+\.) ", text, flags=re.M)
    return [
        one for block in blocks for one in re.split(r"(?<!al\.)(?<=[.!?])[)\"*]*\s+", " ".join(block.split())) if one
    ]


def public_names() -> list[str]:
    """Return the dotted names that the API reference has to have."""
    names = ["lstm_readout.data.module.TextDataModule"]
    for room in EXPORTING:
        package = importlib.import_module(f"lstm_readout.{room}".rstrip("."))
        names += [f"{package.__name__}.{name}" for name in package.__all__]
    for room in OPEN:
        package = importlib.import_module(f"lstm_readout.{room}")
        exported = [getattr(package, name) for name in getattr(package, "__all__", [])]
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            module = importlib.import_module(info.name)
            names += [
                f"{info.name}.{name}"
                for name, value in vars(module).items()
                if not name.startswith("_") and getattr(value, "__module__", "") == info.name
                if inspect.isclass(value) or inspect.isfunction(value)
                if not any(value is one for one in exported)  # has its place under the name of the room
            ]
    return names


def imported_on_pages() -> list[str]:
    """Return the dotted names of this package that the Python code of the pages imports."""
    blocks = [block for page in PAGES for block in re.findall(r"```python.*?\n(.*?)```", page.read_text("utf-8"), re.S)]
    nodes = [node for block in blocks for node in ast.walk(ast.parse(block)) if isinstance(node, ast.ImportFrom)]
    return [
        f"{node.module}.{one.name}"
        for node in nodes
        for one in node.names
        if f"{node.module}.".startswith("lstm_readout.")
    ]


def value_of(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def test_the_site_builds_and_can_be_searched_without_a_server(site):
    index = (site / "search" / "search_index.js").read_text(encoding="utf-8")
    entries = json.loads(index.removeprefix("var __index = "))["docs"]
    found = {entry["location"].split("#")[0] for entry in entries}
    pages = {path.relative_to(DOCS).with_suffix(".html").as_posix() for path in DOCS.rglob("*.md")}
    assert pages <= found
    assert all((site / page).is_file() for page in pages)
    assert any("h_n[-1]" in entry["text"] for entry in entries)


def test_no_page_loads_anything_from_elsewhere(site):
    assert loaded_from_elsewhere(site) == []


@pytest.mark.parametrize(
    "line",
    [
        '<script src="https://example.org/a.js"></script>',
        '<link rel="stylesheet" href="//example.org/a.css">',
        '<img src="http://example.org/a.png">',
        '<link rel="preconnect" href="https://example.org">',
        "<style>@import 'https://example.org/a.css';</style>",
        "<p style=\"background: url('https://example.org/a.png')\">",
    ],
)
def test_what_is_loaded_from_elsewhere_is_found(line, tmp_path):
    (tmp_path / "page.html").write_text(f'<a href="https://example.org">read</a>{line}')
    assert loaded_from_elsewhere(tmp_path)


def test_every_public_name_is_documented(site):
    shown: set[str] = set()
    for path in (site / "look-up" / "api").glob("*.html"):
        shown |= Tags(path.read_text(encoding="utf-8")).ids
    names = public_names()
    assert len(names) > 100
    on_pages = imported_on_pages()
    assert len(on_pages) > 10
    # a module, as doctor, is a page of its own; a constant or a type has no docstring to render
    used = {name for name in on_pages if inspect.isclass(value_of(name)) or inspect.isfunction(value_of(name))}
    assert sorted(used - shown) == []
    assert "the last real step: (L * D, B, O)" in (site / "look-up" / "api" / "index.html").read_text(encoding="utf-8")
    assert [name for name in names if name not in shown] == []
    for name in names:
        value = value_of(name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__, name


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_sentence_is_long(path):
    for sentence in sentences(path.read_text(encoding="utf-8")):
        assert len(sentence.split()) <= LONGEST_SENTENCE, sentence


def test_sentences_are_counted_as_a_reader_counts_them():
    page = (
        "# A title\n\nOne two `three four`.\nFive six:\n\n```bash\nnot this.\n```\n\n- [seven](eight.md) nine\n- ten\n"
    )
    assert sentences(page) == ["One two code.", "Five six:", "[seven] nine", "ten"]


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: path.name)
def test_links_of_the_pages_outside_the_site_exist(path):
    targets = re.findall(r"\]\((?!https:)([^)#]+)[^)]*\)", path.read_text(encoding="utf-8"))
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_pages_that_code_and_configurations_name_exist():
    named = {
        (name, path)
        for folder in ("configs", "scripts", "src", "tests")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".yaml")
        for name in re.findall(r"\bdocs/[\w/-]+\.(?:md|svg|png)", path.read_text(encoding="utf-8"))
    }
    assert named
    assert [f"{path.relative_to(ROOT)}: {name}" for name, path in sorted(named) if not (ROOT / name).exists()] == []


def test_the_map_has_every_room_on_its_floor():
    page = (DOCS / "understand" / "map.md").read_text(encoding="utf-8")
    rows = {(room, int(floor)) for floor, room in re.findall(r"^\| (\d) \| `(\w+)` \|", page, flags=re.M)}
    assert rows == {(room, floor) for floor, rooms in enumerate(FLOORS, start=1) for room in rooms if room}
    folder = Path(lstm_readout.__file__).parent
    assert {room for room, _ in rows} == {path.parent.name for path in folder.glob("*/__init__.py")} | {"errors"}


def test_the_map_names_the_libraries_of_every_room():
    page = (DOCS / "understand" / "map.md").read_text(encoding="utf-8")
    for room, cell in re.findall(r"^\| \d \| `(\w+)` \|.*\|(.*)\|$", page, flags=re.M):
        files = [path for path in MODULES if room_of(name_of(path)) == room]
        libraries = {name.split(".")[0] for path in files for name in imported(path)} - set(sys.stdlib_module_names)
        named = {word for word in re.findall(r"\w+", cell.split(";")[0]) if importlib.util.find_spec(word)}
        assert named == libraries - {"lstm_readout", "numpy", "torch", "typing_extensions"}, room


def test_the_changelog_names_modules_that_exist():
    page = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    table = page.split("| new: `lstm_readout.` |")[1].split("\n\n")[0]
    cells = [re.findall(r"`([\w.]+)`", row.split("|")[2]) for row in table.splitlines() if row.count("|") == 3]
    assert len(cells) > 30
    for cell in cells:
        for name in cell:
            full = name if not name.startswith(".") else f"{cell[0].rpartition('.')[0]}{name}"
            importlib.import_module(f"lstm_readout.{full}")


def gains(results: str) -> dict[str, dict[str, str]]:
    """Return by recipe and option the score with it minus that without it; bold where the interval leaves 0 out."""
    found: dict[str, dict[str, str]] = {}
    number = r"[-+][\d.]+"
    for name, table in re.findall(r"^### (\w+)$(.*?)(?=^#)", results, flags=re.M | re.S):
        row = rf"^\| ([^|]+) \|[^|]*\|[^|]*\| ({number}) \[({number}), ({number})\]"
        for option, difference, low, high in re.findall(row, table, flags=re.M):
            lower = "(lower is better)" in table
            gain = difference if lower else difference.translate(str.maketrans("+-", "-+"))
            gain = gain if float(gain) else gain[1:]
            found.setdefault(name, {})[option] = f"**{gain}**" if low[0] == high[0] else gain
    return found


def test_what_each_option_is_worth_is_what_was_measured():
    recipes = ["imdb", "multi30k", "multi30k_attention", "tinyshakespeare", "trec"]
    measured = gains((DOCS / "results.md").read_text(encoding="utf-8").split("## What each option is worth")[1])
    page = (DOCS / "look-up" / "options.md").read_text(encoding="utf-8").split("## What each is worth")[1]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("|")]
    assert rows[0] == ["option", "IMDB", "Multi30k", "Multi30k, attention", "tinyshakespeare", "TREC"]
    for column, recipe in enumerate(recipes, start=1):
        assert {row[0]: row[column] for row in rows[2:] if row[column]} == measured[recipe], recipe
