"""The numbers in the docs are those that the command wrote, and they order as the docs claim."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "learn" / "which-output.md").read_text(encoding="utf-8")
PUBLISHED = sorted((ROOT / "docs" / "compare").glob("*/compare.json"))

sys.path.insert(0, str(ROOT / "scripts"))
try:
    from published.comparisons import publish, tables_of, with_tables
finally:
    sys.path.remove(str(ROOT / "scripts"))


def test_all_three_tasks_are_published():
    assert {json.loads(path.read_text())["task"] for path in PUBLISHED} == {"classify", "generate", "translate"}


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.parent.name)
def test_the_tables_of_the_docs_are_those_of_the_command(path):
    of_page = tables_of((path.parent / "compare.md").read_text(encoding="utf-8"))
    titles = re.findall(rf"<!-- {path.parent.name}: (.*?) -->", PAGE)
    assert titles
    assert with_tables(PAGE, path.parent.name, of_page) == PAGE
    assert all("\n".join(of_page[title]) in PAGE for title in titles)


def test_a_comparison_that_is_published_again_changes_nothing(tmp_path):
    shutil.copytree(ROOT / "docs" / "compare" / "imdb", tmp_path / "run")
    page = tmp_path / "docs" / "learn" / "which-output.md"
    page.parent.mkdir(parents=True)
    page.write_text(PAGE, encoding="utf-8")
    copy = publish(tmp_path / "run", "imdb", tmp_path / "docs")
    assert page.read_text(encoding="utf-8") == PAGE
    for path in (tmp_path / "run").iterdir():
        assert (copy / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.parent.name)
def test_the_page_of_the_command_tells_its_numbers(path):
    about = json.loads(path.read_text(encoding="utf-8"))
    page = (path.parent / "compare.md").read_text(encoding="utf-8")
    assert f"`{about['command']}`" in page
    assert f"({about['command']})" in PAGE or f"(`{about['command']}`)" in PAGE
    digits = 2 if about["task"] == "translate" else 3
    for variant in about["variants"]:
        name = f"*{variant['name']}*" if variant["wrong"] else variant["name"]
        assert f"| {name} | {variant['mean']:.{digits}f} [" in page


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.parent.name)
def test_every_mistake_is_significantly_worse(path):
    about = json.loads(path.read_text(encoding="utf-8"))
    assert len(about["seeds"]) == 3
    wrong = [variant for variant in about["variants"] if variant["wrong"]]
    assert wrong
    for variant in wrong:
        assert variant["p"] < 0.05, variant["name"]
        assert variant["difference"] < 0, variant["name"]


def test_h_n_and_the_last_real_step_of_output_gave_the_same_numbers():
    about = json.loads((ROOT / "docs" / "compare" / "imdb" / "compare.json").read_text())
    by_key = {variant["key"]: variant for variant in about["variants"]}
    assert by_key["last"]["scores"] == by_key["last_step"]["scores"]


def test_the_perplexity_of_a_stream_does_not_depend_on_how_it_was_cut():
    about = json.loads((ROOT / "docs" / "compare" / "tinyshakespeare" / "compare.json").read_text())
    (probe,) = about["probes"].values()
    assert probe["audit"]["holds"]


def test_the_readme_tells_the_same():
    about = json.loads((ROOT / "docs" / "compare" / "imdb" / "compare.json").read_text())
    by_key = {variant["key"]: variant for variant in about["variants"]}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"reaches {by_key['padded']['mean']:.3f} where" in " ".join(readme.split())
    assert f"`h_n[-1]` reaches {by_key['random']['mean']:.3f}" in " ".join(readme.split())
