"""``lstm-readout train | evaluate | predict``: the first word chooses, the rest are Hydra overrides."""

from __future__ import annotations

import sys
from importlib import import_module

from lstm_readout.errors import did_you_mean

COMMANDS = {
    "train": "train a task: lstm-readout train task=classify data=imdb model.hidden_size=256",
    "evaluate": "measure a checkpoint: lstm-readout evaluate checkpoint=RUN/checkpoints/best.ckpt",
    "predict": "use a checkpoint: lstm-readout predict checkpoint=RUN/checkpoints/best.ckpt text='...'",
}


def main() -> None:
    """Run the command that the first argument names."""
    command, *arguments = sys.argv[1:] or ["--help"]
    if command in ("-h", "--help"):
        print("usage: lstm-readout COMMAND [key=value ...]\n")
        for name, purpose in COMMANDS.items():
            print(f"  {name:10}{purpose}")
        print("\nlstm-readout COMMAND --help lists the keys of a command.")
        return
    if command not in COMMANDS:
        print(f"error: there is no command '{command}'. {did_you_mean(command, COMMANDS)}", file=sys.stderr)
        sys.exit(2)
    import_module(f"lstm_readout.{command}").main(arguments)  # one command's imports are not another's


if __name__ == "__main__":
    main()
