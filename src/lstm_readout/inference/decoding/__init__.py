"""Decoding with a language model: a first state goes in, token ids come out, one step at a time.

A translator's decoder is a language model that starts from the encoder's state, so both decode with these functions.
"""

from lstm_readout.inference.decoding.beam import Hypothesis, beam_search, check_beam, forced_scores
from lstm_readout.inference.decoding.ensemble import Ensemble, LanguageModelEnsemble
from lstm_readout.inference.decoding.int8 import Int8LanguageModel, stepper_of, with_int8
from lstm_readout.inference.decoding.sampling import check_sampling, draw, sample, sample_texts
from lstm_readout.inference.decoding.search import greedy, length_limits, translate, translations
from lstm_readout.inference.decoding.stepper import Stepper

__all__ = [
    "Ensemble",
    "Hypothesis",
    "Int8LanguageModel",
    "LanguageModelEnsemble",
    "Stepper",
    "beam_search",
    "check_beam",
    "check_sampling",
    "draw",
    "forced_scores",
    "greedy",
    "length_limits",
    "sample",
    "sample_texts",
    "stepper_of",
    "translate",
    "translations",
    "with_int8",
]
