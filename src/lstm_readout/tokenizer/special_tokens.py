"""The three ids that mean the same in every vocabulary."""

UNK, BOS, EOS = 0, 1, 2
SPECIAL_TOKENS = ["<unk>", "<bos>", "<eos>"]
