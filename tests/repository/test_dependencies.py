"""What the package imports is what it declares."""

import ast
import re
import sys
from pathlib import Path

import tomllib

REPOSITORY = Path(__file__).parents[2]
NAMES = {"hydra": "hydra-core", "typing_extensions": "typing-extensions", "sklearn": "scikit-learn"}
COME_ALONG = {"omegaconf": "hydra-core", "yaml": "hydra-core"}  # the other needs them too


def name_of(requirement: str) -> str:
    return re.split(r"[\[<>=]", requirement)[0].lower()


def pins_of(file: str) -> dict[str, str]:
    lines = (REPOSITORY / file).read_text().lower().replace("_", "-").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def test_every_import_is_declared_and_every_dependency_is_used():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    declared = {name_of(line) for line in project["dependencies"]}
    imported = set()
    for path in (REPOSITORY / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.split(".")[0])
    imported -= set(sys.stdlib_module_names) | {"lstm_readout"} | set(COME_ALONG)
    assert {NAMES.get(name, name) for name in imported} == declared - {"tensorboard"}  # Lightning's logger imports it


def test_the_tested_sets_pin_every_dependency():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert "lstm-readout[docs]" in extras["dev"]
    for file, names in {
        "constraints.txt": ["dev", "docs"],
        "constraints-torchtext.txt": ["dev", "docs", "torchtext"],
    }.items():
        pinned = pins_of(file)
        for line in project["dependencies"] + [line for name in names for line in extras[name]]:
            assert name_of(line) in {*pinned, project["name"]}, (file, line)


def test_both_tested_sets_differ_in_what_torchtext_asks_for_alone():
    main, other = pins_of("constraints.txt"), pins_of("constraints-torchtext.txt")
    assert not set(main) - set(other)
    assert {name for name in main if main[name] != other[name]} == {"torch", "numpy"}
    extra = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]["torchtext"]
    assert {"torch>=2.3,<2.4", "torchtext==0.18.0", "numpy<2.4"} <= set(extra)
    assert other["torch"].startswith("2.3.")
    assert other["torchtext"] == "0.18.0"
    assert tuple(map(int, other["numpy"].split("."))) < (2, 4)
