"""Text to ids and back: a thin layer on Hugging Face ``tokenizers``.

Ids 0, 1 and 2 are ``<unk>``, ``<bos>`` and ``<eos>`` in every vocabulary. There is no padding id: ragged rows are
packed. Every encoded text ends in ``<eos>``, so that an empty text still has one token.
"""

from lstm_readout.tokenizer.fit import Kind
from lstm_readout.tokenizer.ragged import Ragged, pack
from lstm_readout.tokenizer.special_tokens import BOS, EOS, SPECIAL_TOKENS, UNK
from lstm_readout.tokenizer.text_tokenizer import TextTokenizer
from lstm_readout.tokenizer.vocabulary import Vocabulary, unknown_rate

__all__ = [
    "BOS",
    "EOS",
    "SPECIAL_TOKENS",
    "UNK",
    "Kind",
    "Ragged",
    "TextTokenizer",
    "Vocabulary",
    "pack",
    "unknown_rate",
]
