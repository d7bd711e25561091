"""Train from a clone: ``python train.py task=classify data=imdb model.hidden_size=256``."""

import sys

from lstm_readout.commands.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
