"""Trained models at work, one file per task: load a checkpoint, call it with a list of strings."""

from lstm_readout.inference.classify import Classified, DocumentClassifier
from lstm_readout.inference.generate import TextGenerator
from lstm_readout.inference.translate import AttentionMap, Translation, Translator

__all__ = ["AttentionMap", "Classified", "DocumentClassifier", "TextGenerator", "Translation", "Translator"]
