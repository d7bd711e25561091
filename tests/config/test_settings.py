"""Settings chosen from the data: what is chosen, what the user's own values change, and where it is written down."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hydra import compose, initialize_config_module

from lstm_readout.commands.train import main
from lstm_readout.config.build import build_data, build_task
from lstm_readout.config.suited import KEYS, Size, suited
from lstm_readout.config.values import leaves, plain_values

ROLES = {
    "classify": {"text": "text", "label": "label"},
    "generate": {"text": "text"},
    "translate": {"source": "text", "target": "text"},
}
SIZES = [
    Size(rows, rows * words, words * 2, ids, classes)
    for rows in (1, 37, 500, 8000, 25_000, 3_000_000)
    for words in (1, 20, 300)
    for ids, classes in ((60, 2), (900, 0), (30_000, 6))
]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def composed(*overrides):
    with initialize_config_module("lstm_readout.configs", version_base="1.3"):
        config = compose("train", overrides=["data.max_rows=200", *overrides])
    program = {key: config[key] for key in config if key not in ("hydra", "callbacks", "logger", "trainer")}
    program["trainer"] = {"max_epochs": config.trainer.max_epochs, "max_steps": config.trainer.max_steps}
    return plain_values(type(config)(program))


def chosen(*overrides):
    config = composed(*overrides)
    data = build_data(config)
    return config, build_task(config, data), data


@pytest.mark.parametrize("task", ROLES)
def test_nothing_is_left_open_and_unknown_keys_are_not_chosen(task):
    config, _, _ = chosen(f"task={task}")
    values = dict(leaves(config))
    assert not [key for key in KEYS if values.get(key) == "auto"]
    assert not [
        key for key, value in values.items() if value == "auto" and key.startswith("model.") and "engine" not in key
    ]
    assert set(config["settings"]) <= KEYS
    assert "model.hidden_size" in config["settings"]


@pytest.mark.parametrize("task", ROLES)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_size_has_settings_that_the_model_accepts(task, size):
    config = composed(f"task={task}")
    values = suited(size, config, ROLES[task])
    assert values.keys() <= KEYS
    assert 4 <= values["trainer.max_epochs"] <= 20
    assert values["data.batch_size"] >= 1
    for name in ("word_dropout", "input_dropout", "output_dropout"):
        assert 0 <= values[f"model.{name}"] < 1
    if values.get("model.tied_embeddings"):
        assert values["model.embedding_size"] == values["model.hidden_size"]


def test_a_value_of_the_user_is_kept():
    config, task, data = chosen("task=classify", "model.hidden_size=48", "data.batch_size=7", "optimizer.lr=0.01")
    assert task.model.encoder.lstm.rnn.hidden_size == 48
    assert data.batching.batch_size == 7
    assert config["optimizer"]["lr"] == 0.01
    assert "model.hidden_size" not in config["settings"]


def test_the_batch_size_reaches_the_loader():
    _, _, data = chosen("task=classify")
    assert next(iter(data.train_dataloader())).labels.shape == (32,)


@pytest.mark.parametrize(
    ("overrides", "tied", "embedding", "hidden"),
    [
        ([], True, 128, 128),
        (["model.hidden_size=40"], True, 40, 40),
        (["model.embedding_size=40"], True, 40, 40),
        (["model.embedding_size=40", "model.hidden_size=24"], False, 40, 24),
        (["model.decoder.hidden_size=24", "model.decoder.embedding_size=40"], False, 40, 24),
    ],
)
def test_one_matrix_serves_twice_where_the_sizes_allow_it(overrides, tied, embedding, hidden):
    _, task, _ = chosen("task=translate", *overrides)
    decoder = task.model.decoder
    assert (decoder.head.weight is decoder.encoder.embedding.weight) == tied
    assert decoder.encoder.embedding.embedding_dim == embedding
    assert decoder.encoder.lstm.rnn.hidden_size == hidden


@pytest.mark.parametrize(
    "overrides",
    [
        ["task=translate", "model.attention=general"],
        ["task=translate", "model.bidirectional=true"],
        ["task=translate", "model.softmax=adaptive", "model.cutoffs=[20]"],
        ["task=translate", "model.cell=gru"],
        ["task=translate", "model.proj_size=24"],
        ["task=generate", "model.softmax=adaptive", "model.cutoffs=[20]"],
        ["task=generate", "model.cell=rnn"],
        ["task=generate", "tokenizer=char", "data.carry_state=true"],
        ["task=classify", "model.forget_bias=1"],
        ["task=classify", "model.cell=gru", "model.bidirectional=true"],
        ["task=classify", "tokenizer=char"],
        ["task=classify", "tokenizer=bpe"],
    ],
    ids=" ".join,
)
def test_settings_fit_whatever_else_the_user_sets(overrides):
    _, task, data = chosen(*overrides)
    loss, _ = task.loss(next(iter(data.train_dataloader())), "train")
    loss.backward()
    assert torch.isfinite(loss)


def test_without_settings_the_model_is_the_small_one_of_the_files():
    config, task, _ = chosen("task=classify", "settings=fixed")
    assert "settings" not in config
    assert task.model.encoder.lstm.rnn.hidden_size == 128
    assert task.model.encoder.embedding.embedding_dim == 128
    assert config["model"]["word_dropout"] == 0.0
    assert config["trainer"]["max_epochs"] == 7


def write_reviews(path, rows):
    draw = random.Random(0)
    lines = ["text,label"]
    for _ in range(rows):
        label = draw.choice(["good", "bad"])
        lines.append(f"a {draw.choice(['fine', 'warm'] if label == 'good' else ['dull', 'cold'])} film,{label}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_what_was_chosen_is_logged_and_saved():
    write_reviews(Path("reviews.csv"), 60)
    main(["task=classify", "data=files", "data.path=reviews.csv", "doctor=off", "hydra.run.dir=run"])
    log = Path("run/train.log").read_text()
    assert "settings for 49 rows" in log
    assert "model.hidden_size=128" in log
    saved = yaml.safe_load(Path("run/.hydra/config.yaml").read_text())
    assert saved["model"]["hidden_size"] == 128
    assert saved["trainer"]["max_epochs"] == 20
    assert saved["tokenizer"]["min_frequency"] == 2
    assert json.loads(Path("run/metrics.json").read_text())["test/accuracy"] == 1.0
    config = torch.load("run/checkpoints/last.ckpt", weights_only=True)["hyper_parameters"]["config"]
    assert config["settings"]["model.hidden_size"] == 128


def test_a_run_of_an_earlier_version_resumes_with_the_fixed_values():
    small = ["task=classify", "data.max_rows=64", "doctor=off", "model.hidden_size=8"]
    main([*small, "settings=fixed", "trainer.max_epochs=1", "hydra.run.dir=run"])
    recorded = Path("run/.hydra/config.yaml")
    older = {key: value for key, value in yaml.safe_load(recorded.read_text()).items() if key != "settings"}
    recorded.write_text(yaml.safe_dump(older))
    overrides = Path("run/.hydra/overrides.yaml")
    overrides.write_text(
        yaml.safe_dump([line for line in yaml.safe_load(overrides.read_text()) if "settings" not in line])
    )
    main(["resume=run", "trainer.max_epochs=2"])
    assert torch.load("run/checkpoints/last.ckpt", weights_only=True)["epoch"] == 1


def test_the_embedding_starts_from_the_log_count_ratios_of_the_labels():
    write_reviews(Path("reviews.csv"), 60)
    _, task, data = chosen("task=classify", "data=files", "data.path=reviews.csv")
    columns, tokens = data.columns["train"], data.vocabulary.tokenizers["text"].tokens
    rows = [set(columns["text"].row(number).tolist()) for number in range(len(columns["text"].lengths))]
    labels = np.asarray(columns["label"])
    for number, token in enumerate(tokens):
        inside, outside = (
            (sum(number in row for row, one in zip(rows, labels, strict=True) if one == label) + 1)
            / (int((labels == label).sum()) + 2)
            for label in (1, 0)
        )
        expected = np.log(inside / outside)
        assert task.model.encoder.embedding.weight[number, 0].item() == pytest.approx(expected, abs=1e-5), token


def test_the_softmax_starts_from_the_frequencies_of_the_tokens():
    _, task, data = chosen("task=generate")
    counts = np.bincount(data.columns["train"]["text"].values, minlength=len(task.model.head.bias)) + 0.5
    assert np.allclose(torch.softmax(task.model.head.bias, 0).detach().numpy(), counts / counts.sum(), atol=1e-6)
