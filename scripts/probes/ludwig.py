"""Ludwig: the model that is trained from a configuration with one text and one category (encoder ``rnn``)."""

from __future__ import annotations

from torch import Tensor, nn

from probes.base import VOCABULARY, Reader, main, stand_in, torchvision_without_its_kernels

torchvision_without_its_kernels()
stand_in("torchaudio")

from ludwig.models.ecd import ECD  # noqa: E402
from ludwig.schema.model_types.base import ModelConfig  # noqa: E402

_PADDING = 2  # SpecialSymbol.PADDING


def build(bidirectional: bool) -> Reader:
    encoder = {"type": "rnn", "cell_type": "lstm", "bidirectional": bidirectional, "state_size": 16}
    config = ModelConfig.from_dict(
        {
            "input_features": [{"name": "text", "type": "text", "encoder": encoder | {"embedding_size": 12}}],
            "output_features": [{"name": "label", "type": "category"}],
        }
    )
    text, label = config.input_features[0], config.output_features[0]
    text.encoder.vocab = [str(number) for number in range(VOCABULARY)]  # what the data would tell
    text.encoder.vocab_size, text.encoder.max_sequence_length = VOCABULARY, 20
    label.num_classes = label.decoder.num_classes = 3
    return Reader(ECD(config), _call, _PADDING)


def _call(model: nn.Module, token_ids: Tensor, lengths: Tensor) -> Tensor:
    return model({"text": token_ids})["label::logits"]


if __name__ == "__main__":
    main({"one direction": lambda: build(False), "two directions": lambda: build(True)})
