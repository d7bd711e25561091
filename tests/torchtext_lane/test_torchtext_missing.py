"""Without a torchtext that loads, each of its options is one clear error: what is here, what is needed, the command."""

import sys

import pytest
import torch

from lstm_readout.commands.train import main as train

OPTIONS = [
    "tokenizer=torchtext",
    "vectors=torchtext vectors.name=glove.6B.50d",
    "task=translate task.torchtext_bleu=true",
]
BROKEN = {
    "absent": ("raise ModuleNotFoundError(\"No module named 'torchtext'\")", None),
    "of another torch": ("raise OSError('Could not load this library: libtorchtext.so\\nand more lines')", "0.18.0"),
}


@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.parametrize("option", OPTIONS)
def test_it_is_one_error_and_no_traceback(tmp_path, monkeypatch, capsys, option, how):
    code, version = BROKEN[how]
    (tmp_path / "torchtext").mkdir()
    (tmp_path / "torchtext" / "__init__.py").write_text(code)
    about = tmp_path / f"torchtext-{version}.dist-info"
    about.mkdir()
    if version is not None:
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: torchtext\nVersion: {version}\n")
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchtext"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SystemExit) as stop:
        train([*option.split(), "debug=limited", "data.max_rows=60", "doctor=off", "hydra.run.dir=run"])
    assert stop.value.code == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "Traceback" not in told
    key = next(word for word in option.split() if "torchtext" in word)
    assert f"{key}: needs torchtext 0.18" in told
    assert f"torch {torch.__version__}" in told
    assert 'pip install "lstm-readout[torchtext]"' in told
    if version is not None:
        assert "torchtext 0.18.0, which does not load here (Could not load this library: libtorchtext.so)" in told
        assert "and more lines" not in told
