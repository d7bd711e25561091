"""``lstm-readout COMMAND key=value ...``: the first word names the command, the rest are Hydra overrides."""

from __future__ import annotations

import gc
import sys
from importlib import import_module

from lstm_readout.commands.streams import open_streams
from lstm_readout.errors import did_you_mean

_COMMANDS = {
    "train": "train a task: lstm-readout train task=classify data=imdb model.hidden_size=256",
    "evaluate": "measure a checkpoint: lstm-readout evaluate checkpoint=RUN/checkpoints/best.ckpt",
    "predict": "use a checkpoint: lstm-readout predict checkpoint=RUN/checkpoints/best.ckpt text='...'",
    "explain": "show which output is read, on your batch: lstm-readout explain task=classify model.bidirectional=true",
    "compare": "train right and wrong readouts side by side: lstm-readout compare task=classify seeds=0,1,2",
    "doctor": "check a model for the classic mistakes: lstm-readout doctor task=generate",
}


def main(arguments: list[str] | None = None) -> None:
    """Run the command that the first argument names."""
    command, *arguments = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if command in ("-h", "--help"):
        print("usage: lstm-readout COMMAND [key=value ...]\n")
        for name, purpose in _COMMANDS.items():
            print(f"  {name:10}{purpose}")
        print("\nlstm-readout COMMAND --help lists the keys of a command.")
        return
    if command not in _COMMANDS:
        print(f"error: there is no command '{command}'. {did_you_mean(command, _COMMANDS)}", file=sys.stderr)
        sys.exit(2)
    open_streams(ends_with_reader=command not in ("train", "compare"))
    gc.disable()  # imports create a million permanent objects, which every collection would traverse
    module = import_module(f"lstm_readout.commands.{command}")
    gc.freeze()
    gc.enable()
    module.main(arguments)


if __name__ == "__main__":
    main()
