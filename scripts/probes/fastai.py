"""fastai: ``get_text_classifier(AWD_LSTM, ...)``, which ``text_classifier_learner`` trains, with concat pooling."""

from __future__ import annotations

from torch import Tensor, nn

from probes.base import VOCABULARY, Reader, main, torchvision_without_its_kernels

torchvision_without_its_kernels()

from fastai.text.models.awdlstm import AWD_LSTM, awd_lstm_clas_config  # noqa: E402
from fastai.text.models.core import get_text_classifier  # noqa: E402

_PADDING = 1


def build() -> Reader:
    config = {**awd_lstm_clas_config, "emb_sz": 12, "n_hid": 16, "n_layers": 2}
    model = get_text_classifier(AWD_LSTM, VOCABULARY, 3, config=config, pad_idx=_PADDING)
    return Reader(model, _call, _PADDING)


def _call(model: nn.Module, token_ids: Tensor, lengths: Tensor) -> Tensor:
    model.reset()
    return model(token_ids)[0]


if __name__ == "__main__":
    main({"AWD-LSTM, two layers": build})
