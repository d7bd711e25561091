"""What the package imports is what it declares."""

import ast
import sys
from pathlib import Path

import tomllib

REPOSITORY = Path(__file__).parent.parent
NAMES = {"hydra": "hydra-core", "typing_extensions": "typing-extensions"}
COME_ALONG = {"omegaconf": "hydra-core", "yaml": "hydra-core"}  # the other needs them too


def test_every_import_is_declared_and_every_dependency_is_used():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    declared = {line.split(">=")[0] for line in project["dependencies"]}
    imported = set()
    for path in (REPOSITORY / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.split(".")[0])
    imported -= set(sys.stdlib_module_names) | {"lstm_readout"} | set(COME_ALONG)
    assert {NAMES.get(name, name) for name in imported} == declared - {"tensorboard"}  # Lightning's logger imports it


def test_the_tested_set_pins_every_dependency():
    lines = (REPOSITORY / "constraints.txt").read_text().lower().replace("_", "-").splitlines()
    pinned = {line.split("==")[0] for line in lines}
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = [line for group in project["optional-dependencies"].values() for line in group]
    for line in project["dependencies"] + extras:
        assert line.split(">=")[0].split("[")[0].lower() in pinned, line
