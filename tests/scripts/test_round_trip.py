"""What docs/do/tokenizers.md says of the tokenizers is what there is."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "do" / "tokenizers.md").read_text(encoding="utf-8")


def rows(page: str) -> dict[str, list[str]]:
    """Return the cells of a table's rows by their first."""
    found = re.findall(r"^\| `(\w+)` \|(.*)\|$", page, flags=re.M)
    return {kind: [cell.strip() for cell in cells.split("|")] for kind, cells in found}


def test_the_page_names_every_choice() -> None:
    named = set(re.findall(r"^\| `(\w+)` \|", PAGE, flags=re.M))
    assert {path.stem for path in (ROOT / "configs" / "tokenizer").glob("*.yaml")} - {"base"} <= named


def test_the_script_measures_what_each_kind_loses(tmp_path, capsys, monkeypatch) -> None:
    texts = [f"A man's hat, in the park (number {i}) or not." for i in range(300)]
    (tmp_path / "train.txt").write_text("\n".join(texts), encoding="utf-8")
    (tmp_path / "held_out.txt").write_text("\n".join([*texts[:20], "A hat in the zoo, or not."]), encoding="utf-8")
    arguments = ["script", str(tmp_path / "train.txt"), str(tmp_path / "held_out.txt")]
    monkeypatch.setattr(sys, "argv", arguments)
    runpy.run_path(str(ROOT / "scripts" / "benchmarks" / "round_trip.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert printed.splitlines()[0] in PAGE
    measured = rows(printed)
    for kind in ("byte", "char", "bpe", "unigram"):
        assert measured[kind][2:] == ["0.0 %", "", "100.0", "100.0", "100.0 %"]
    assert measured["word"][2] == f"{100 / (20 * 14 + 8):.1f} %"  # "zoo"
    assert float(measured["word"][3]) < 90 < float(measured["word"][4]) < 100
    assert float(measured["basic_english"][4]) < float(measured["basic_english"][5])
    assert measured["basic_english"][-1] == "0.0 %"
