"""Weights from elsewhere: word vectors and language models."""
