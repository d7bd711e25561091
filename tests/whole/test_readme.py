"""The commands of the README and of docs/do/train.md run, only made small; the pages name what a run leaves behind."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from lstm_readout.commands.compare import main as compare
from lstm_readout.commands.doctor import main as doctor
from lstm_readout.commands.evaluate import main as evaluate
from lstm_readout.commands.explain import main as explain
from lstm_readout.commands.predict import main as predict
from lstm_readout.commands.train import main as train

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PAGES = README + (REPOSITORY / "docs" / "do" / "train.md").read_text(encoding="utf-8")
LINES = [line for block in re.findall(r"```bash\n(.*?)```", PAGES, re.S) for line in block.splitlines()]
COMMANDS = [line for line in dict.fromkeys(LINES) if line.strip()]
PROGRAMS = {"predict": predict, "evaluate": evaluate, "explain": explain, "compare": compare, "doctor": doctor}
PYTHON = list(dict.fromkeys(re.findall(r"```python\n(.*?)```", PAGES, re.S)))
CORPORA = ("imdb", "trec", "multi30k", "tinyshakespeare")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("readme") / "run"
    train(["task=classify", "debug=limited", f"hydra.run.dir={folder}"])
    return folder


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [f"film {i} was {'good' if i % 2 else 'bad'},{'positive' if i % 2 else 'negative'}" for i in range(40)]
    Path("reviews.csv").write_text("review,stars\n" + "\n".join(rows) + "\n")
    Path("reviews.txt").write_text("good\nbad\n")
    Path("large.txt").write_text("".join(f"line {i}\n" for i in range(600)))
    for name in ("pairs.de", "pairs.en"):
        Path(name).write_text("".join(f"satz {i}\n" for i in range(40)))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_runs(command, trained, capsys):
    program, *arguments = shlex.split(command.replace("RUN", str(trained)))
    if program == "make":
        if not shutil.which("make"):
            pytest.skip("make is not installed")
        told = subprocess.run(
            ["make", "--dry-run", "--always-make", *arguments],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert ("pytest" if arguments[:1] in (["test"], ["test-torchtext"]) else "train.py task=") in told
        assert all(value in told for argument in arguments[1:] for value in [argument.split("=", 1)[1]])
    elif program == "python":
        assert arguments.pop(0) == "train.py"
        if any(argument == f"data={corpus}" for argument in arguments for corpus in CORPORA):
            arguments = [argument for argument in arguments if not argument.startswith("data=")]  # on the sample
        small = [] if "--help" in arguments or "debug=limited" in arguments else ["debug=limited"]
        if "--help" in arguments:
            with pytest.raises(SystemExit) as stop:
                train(arguments)
            assert stop.value.code in (0, None)
        else:
            train([*arguments, *small])
    else:
        assert program == "lstm-readout"
        name, *arguments = arguments
        small = (
            ["jobs=1", "data.max_rows=40", "trainer.max_epochs=1", "model.hidden_size=8"] if name == "compare" else []
        )
        PROGRAMS[name]([*arguments, *small])
        assert "labels.jsonl" not in command or len(Path("labels.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize("code", PYTHON)
def test_python_of_the_readme_runs(code, trained, capsys):
    exec(compile(code.replace("RUN", str(trained)), "README.md", "exec"), {})
    told = capsys.readouterr().out.strip()
    assert told in ("positive", "negative", "torch.Size([4, 2, 20])")


def test_the_pages_name_what_a_run_leaves_behind(trained):
    metrics = (REPOSITORY / "docs" / "look-up" / "metrics.md").read_text(encoding="utf-8")
    for key in json.loads((trained / "metrics.json").read_text(encoding="utf-8")):
        name = key if key.startswith(("baseline/", "train/")) else key.rpartition("/")[2]
        assert re.search(rf"[`/]{name}`", metrics), key
    for path in trained.iterdir():
        assert re.search(rf"`{path.name}[`/]", PAGES), path.name
