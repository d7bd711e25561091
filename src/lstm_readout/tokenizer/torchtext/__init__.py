"""What torchtext 0.18 gives, where it is installed: tokenizers, saved vocabularies, word vectors and its BLEU.

No other part of the project needs torchtext, nor does a checkpoint that was trained with it: ``docs/do/torchtext.md``.
"""
