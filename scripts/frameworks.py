"""Which output do published frameworks read? Their pinned versions go in, docs/results/frameworks.json comes out.

    python scripts/frameworks.py              # all of scripts/frameworks.yaml, and the table
    python scripts/frameworks.py --only eole  # one of them; the other rows stay as they are
    python scripts/frameworks.py --page       # no installation: only write the table into the page

Each framework gets an environment of its own, on top of the packages of this one, and a probe of ``scripts/probes/``
that examines its model. The environments are kept, one per set of pins. A failed installation or probe fills its row.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Any

import torch
import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
PINS = REPOSITORY / "scripts" / "frameworks.yaml"
RECORD = REPOSITORY / "docs" / "results" / "frameworks.json"
PAGE = REPOSITORY / "docs" / "learn" / "what-frameworks-read.md"
_TABLE = re.compile(r"(<!-- frameworks -->\n\n).*?(<!-- end -->)", re.DOTALL)
_COLUMNS = ("framework", "released", "model", "variant", "checks that failed", "a row alone differs by")


def main(arguments: list[str] | None = None) -> None:
    """Examine the frameworks, write the record, and the table into the page."""
    pins = yaml.safe_load(PINS.read_text(encoding="utf-8"))
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", choices=sorted(pins), help="examine one framework")
    parser.add_argument("--page", action="store_true", help="write the page from the record")
    asked = parser.parse_args(arguments)
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    for name in [] if asked.page else [asked.only] if asked.only else pins:
        record[name] = row_of(name, pins[name])
        RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), record), encoding="utf-8")
    sys.stdout.write(table(record) + "\n")


def row_of(name: str, pin: dict[str, Any]) -> dict[str, Any]:
    """Return what is published about one framework; ``failure`` instead of ``variants`` if its probe did not run."""
    row = {key: str(pin[key]) for key in ("title", "version", "released", "checked")}
    row |= {"date": datetime.date.today().isoformat(), "torch": torch.__version__.split("+")[0]}
    try:
        return row | {"variants": _examined(_environment(name, pin["requires"]), name)}
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"{name}: {error}\n{error.stderr or ''}\n")
        lines = (error.stderr or str(error)).strip().splitlines()
        return row | {"failure": lines[-1] if lines else str(error)}


def table(record: dict[str, Any]) -> str:
    """Return the record as a Markdown table."""
    lines = [f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|"]
    for row in record.values():
        start = f"| {row['title']} {row['version']} | {row['released']} | `{row['checked']}` |"
        if "failure" in row:
            lines.append(f"{start} not examined | {row['failure']} | |")
        for variant, found in row.get("variants", {}).items():
            failed = ", ".join(f"`{check}`" for check in found["failed"]) or "none"
            lines.append(f"{start} {variant} | {failed} | {found['alone']:.1g} |")
    return "\n".join(lines)


def with_table(page: str, record: dict[str, Any]) -> str:
    """Return the page with the table of this record."""
    return _TABLE.sub(lambda match: f"{match[1]}{table(record)}\n\n{match[2]}", page)


def _environment(name: str, requires: list[str]) -> Path:
    """Return the Python of an environment with these pins, and make it if there is none."""
    key = hashlib.sha256(json.dumps([requires, sys.version, sys.prefix]).encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lstm-readout-environments"
    folder = cache / f"framework-{name}-{key}"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():  # also after an interrupted install
        sys.stderr.write(f"{name}: installing {len(requires)} packages into {folder}\n")
        venv.create(folder, clear=True, symlinks=True)
        own = sysconfig.get_path("purelib", vars={"base": str(folder)})
        below = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
        (Path(own) / "packages.pth").write_text(below, encoding="utf-8")
        options = ["--quiet", "--no-deps", "--ignore-requires-python"]
        _run([sys.executable, "-m", "pip", "--python", str(python), "install", *options, *requires])
        (folder / "ready").touch()
    return python


def _examined(python: Path, name: str) -> dict[str, Any]:
    found = _run([str(python), "-W", "ignore", "-m", f"probes.{name}"])
    return json.loads(found.strip().splitlines()[-1])


def _run(command: list[str]) -> str:
    return subprocess.run(command, check=True, text=True, capture_output=True, cwd=REPOSITORY / "scripts").stdout


if __name__ == "__main__":
    main()
