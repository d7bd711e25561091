"""The three models, one file each: plain ``torch.nn.Module`` classes that need only torch."""

from lstm_readout.models.classify import Classifier
from lstm_readout.models.generate import LanguageModel
from lstm_readout.models.outputs import LanguageModelOutput
from lstm_readout.models.translate import Seq2Seq
from lstm_readout.nn.bridge import Bridge
from lstm_readout.nn.encoder import Encoder

__all__ = ["Bridge", "Classifier", "Encoder", "LanguageModel", "LanguageModelOutput", "Seq2Seq"]
