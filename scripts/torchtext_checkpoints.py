"""Train the tiny checkpoints of tests/torchtext_lane/fixtures, and write what they predict.

    .venv/bin/python scripts/torchtext_checkpoints.py
    .venv-torchtext/bin/python scripts/torchtext_checkpoints.py

Each environment writes its own and prints the logs of the runs; the tests of each use those of both. Where torchtext is
installed, it also saves a ``Vocab``.
"""

import json
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import torch

from lstm_readout import DocumentClassifier, Translator

REPOSITORY = Path(__file__).parent.parent
FIXTURES = REPOSITORY / "tests" / "torchtext_lane" / "fixtures"
SMALL = ["doctor=off", "model.hidden_size=12", "model.embedding_size=8", "trainer.max_epochs=2", "optimizer.lr=0.02"]
RUNS = {
    "default": {
        "classify": ["task=classify", "tokenizer=basic_english"],
        "translate": ["task=translate", "tokenizer=word"],
    },
    "torchtext": {
        "classify": ["task=classify", "tokenizer=torchtext"],
        "translate": ["task=translate", "tokenizer=torchtext", "tokenizer.name=null"],
        "toktok": ["task=classify", "tokenizer=torchtext", "tokenizer.name=toktok"],
    },
}
TEXTS = {
    "classify": ["The cast was clumsy, but the ending was never weak!", "not good", "", "ΟΔΥΣΣΕΥΣ <br /> ?"],
    "translate": ["see you at quarter past one in the afternoon", "on the twenty second of may nineteen seventy", ""],
}
TEXTS["toktok"] = TEXTS["classify"]


def main() -> None:
    lane = "torchtext" if find_spec("torchtext") else "default"
    answers = {}
    for name, arguments in RUNS[lane].items():
        file = FIXTURES / f"{lane}-{name}.ckpt"
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, REPOSITORY / "train.py", *arguments, *SMALL, "data.max_rows=1500"]
            subprocess.run([*command, "hydra.run.dir=run"], cwd=folder, check=True)
            content = torch.load(Path(folder, "run/checkpoints/best.ckpt"), weights_only=True)
        # Without the state of the optimizer and of the callbacks, which names folders of this machine
        kept = ("hyper_parameters", "state_dict", "pytorch-lightning_version")
        torch.save({key: content[key] for key in kept}, file)
        pipeline = (Translator if name == "translate" else DocumentClassifier).load(file)
        answers[name] = {"texts": TEXTS[name], "lines": list(pipeline.lines(TEXTS[name]))}
    written = json.dumps({"torch": torch.__version__, "answers": answers}, ensure_ascii=False, indent=1)
    (FIXTURES / f"{lane}.json").write_text(written + "\n", encoding="utf-8")
    if lane == "torchtext":
        save_vocab()


def save_vocab() -> None:
    """Save a ``Vocab`` with its special tokens in a different order from this project's."""
    import torchtext  # pyright: ignore[reportMissingImports]

    torchtext.disable_torchtext_deprecation_warning()
    from torchtext.vocab import build_vocab_from_iterator  # pyright: ignore[reportMissingImports]

    words = [["the", "film", "was", "good"], ["the", "film", "was", "not"], ["the", "end"]]
    vocab = build_vocab_from_iterator(words, specials=["<pad>", "<s>", "</s>", "<unk>"])
    vocab.set_default_index(vocab["<unk>"])
    torch.save(vocab, FIXTURES / "vocab.pt")


if __name__ == "__main__":
    main()
