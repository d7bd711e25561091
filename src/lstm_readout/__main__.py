"""``python -m lstm_readout COMMAND key=value ...`` is ``lstm-readout COMMAND key=value ...``."""

from lstm_readout.commands.cli import main

if __name__ == "__main__":
    main()
