"""Train from a clone: ``python train.py task=classify data=imdb model.hidden_size=256``."""

from lstm_readout.train import main

if __name__ == "__main__":
    main()
