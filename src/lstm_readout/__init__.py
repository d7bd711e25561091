"""Which output of the LSTM does my task read?

Importing this package needs torch, tokenizers and NumPy; Lightning, Hydra and datasets only where a run needs them.
"""

from lstm_readout.lstm import LSTM, LSTMOutput, LSTMState
from lstm_readout.pipelines import DocumentClassifier, TextGenerator, Translator

__all__ = ["LSTM", "DocumentClassifier", "LSTMOutput", "LSTMState", "TextGenerator", "Translator"]
