"""Sources in, translations out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lstm_readout.decoding import translate
from lstm_readout.models.translate import Seq2Seq
from lstm_readout.pipelines.base import Pipeline, check_texts, packed_batches


class Translator(Pipeline):
    """A trained translator, greedy: ``Translator.load(path)(["Ein Hund rennt."])``."""

    task = "translate"
    model_type = Seq2Seq

    def __call__(self, texts: Sequence[str], max_length: int | None = None) -> list[str]:
        """Translate each text; at most ``max_length`` tokens, or twice the source's and 20 more."""
        check_texts(texts)
        model, tokenizers, results = self.model, self.vocabulary.tokenizers, {}
        assert isinstance(model, Seq2Seq)
        for rows, source_ids in packed_batches(tokenizers["source"], texts, self.device):
            for row, ids in zip(rows.tolist(), translate(model, source_ids, max_length), strict=True):
                results[row] = tokenizers["target"].decode(ids)
        return [results[row] for row in range(len(texts))]

    def lines(self, texts: Sequence[str]) -> Iterator[str]:
        """Yield one translation a text."""
        for translation in self(texts):
            yield translation.replace("\n", " ")
