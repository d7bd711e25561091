"""Which output of the LSTM does my task read?

Importing this package needs torch, tokenizers and NumPy; Lightning, Hydra and datasets only where a run needs them.
"""

from lstm_readout.inference import DocumentClassifier, TextGenerator, Translator
from lstm_readout.nn.lstm import LSTM, LSTMOutput, LSTMState

__all__ = ["LSTM", "DocumentClassifier", "LSTMOutput", "LSTMState", "TextGenerator", "Translator"]
