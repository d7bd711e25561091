"""The three ids that mean the same in every vocabulary."""

UNK = 0
"""Id of ``<unk>``: a token that the vocabulary does not have."""

BOS = 1
"""Id of ``<bos>``: what a decoder or a language model reads first."""

EOS = 2
"""Id of ``<eos>``: the last token of every encoded text."""

SPECIAL_TOKENS = ["<unk>", "<bos>", "<eos>"]
"""The texts of these ids, in order."""
