"""A tokenizer.json that somebody else made serves as it is, under this project's ids."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from lstm_readout.errors import UserError
from lstm_readout.tokenizer import BOS, EOS, UNK, TextTokenizer

TEXTS = ["the quick brown fox jumps over the lazy dog.", "Hello world, it's 3.5 naïve", "unaffordable things"] * 9
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def gpt2() -> Tokenizer:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.ByteLevel(trim_offsets=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, show_progress=False)
    )
    backend.add_special_tokens(["<|endoftext|>"])
    return backend


def bert() -> Tokenizer:
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    backend.train_from_iterator(
        TEXTS, trainers.WordPieceTrainer(vocab_size=100, special_tokens=special, show_progress=False)
    )
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    backend.enable_truncation(5)
    backend.enable_padding(length=20)
    return backend


def t5() -> Tokenizer:
    backend = Tokenizer(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=90, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    backend.train_from_iterator(TEXTS, trainer)
    backend.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return backend


def llama() -> Tokenizer:
    backend = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    backend.decoder = decoders.Sequence(steps)
    special = ["<unk>", "<s>", "</s>", *BYTES]
    backend.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=400, special_tokens=special, show_progress=False))
    return backend


MODELS: list[Callable[[], Tokenizer]] = [gpt2, bert, t5, llama]
TRIED = ["the quick 漢 fox, it's </s>[SEP] <|endoftext|>", "", "one two three four five six seven", "a  b"]


def saved(backend: Tokenizer, folder: Path) -> str:
    path = folder / "tokenizer.json"
    backend.save(str(path))
    return str(path)


def words(folder: Path, vocab: dict[str, int] | None = None, special: tuple[str, ...] = ("[UNK]", "[SEP]")) -> str:
    """Save a list of words, whose rule is blanks."""
    vocab = vocab or {token: number for number, token in enumerate([*special, "a", "b"])}
    backend = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.add_special_tokens(list(special))
    return saved(backend, folder)


@pytest.mark.parametrize("make", MODELS)
def test_it_reads_what_the_library_reads_under_new_numbers(make: Callable[[], Tokenizer], tmp_path) -> None:
    plain = make()
    tokenizer = TextTokenizer.from_file(TEXTS, path=saved(plain, tmp_path))
    plain.no_truncation()
    plain.no_padding()
    plain.encode_special_tokens = True
    assert len(tokenizer) == len(tokenizer.tokens) == plain.get_vocab_size() + (tokenizer.special or []).count(None)
    assert tokenizer.special is not None
    theirs = [*tokenizer.special, *(i for i in range(plain.get_vocab_size()) if i not in tokenizer.special)]
    for text in [*TRIED, *TEXTS[:3]]:
        wanted = plain.encode(text, add_special_tokens=False).ids
        row = tokenizer.encode([text])[0].values.tolist()
        assert row[-1] == EOS
        assert not {BOS, EOS} & set(row[:-1])
        # t5 itself reads "</s>" in a text as the end; here it is unknown
        assert [theirs[number] for number in row[:-1]] == [theirs[UNK] if i == theirs[EOS] else i for i in wanted]
        if theirs[EOS] not in wanted:
            assert tokenizer.decode(row) == plain.decode(wanted, skip_special_tokens=False)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("make", MODELS)
def test_it_travels_with_the_checkpoint(make: Callable[[], Tokenizer], reverse: bool, tmp_path) -> None:
    tokenizer = TextTokenizer.from_file(path=saved(make(), tmp_path), max_length=5, keep="end", reverse=reverse)
    torch.save(tokenizer.to_dict(), tmp_path / "checkpoint")
    (tmp_path / "tokenizer.json").unlink()
    loaded = TextTokenizer.from_dict(torch.load(tmp_path / "checkpoint", weights_only=True))
    for again in (loaded, pickle.loads(pickle.dumps(tokenizer))):
        assert again.tokens == tokenizer.tokens
        for text in TRIED:
            row = tokenizer.encode([text])[0].values.tolist()
            assert len(row) <= 6
            assert again.encode([text])[0].values.tolist() == row
            assert again.decode(row) == tokenizer.decode(row)


def test_the_three_are_found_by_their_usual_names_or_by_the_given_ones(tmp_path) -> None:
    assert TextTokenizer.from_file(path=saved(gpt2(), tmp_path)).tokens[:3] == ["<unk>", "<bos>", "<|endoftext|>"]
    assert TextTokenizer.from_file(path=saved(bert(), tmp_path)).tokens[:4] == ["[UNK]", "[CLS]", "[SEP]", "[PAD]"]
    assert TextTokenizer.from_file(path=saved(t5(), tmp_path)).tokens[:3] == ["<unk>", "<bos>", "</s>"]
    assert TextTokenizer.from_file(path=saved(llama(), tmp_path)).tokens[:3] == ["<unk>", "<s>", "</s>"]
    path = saved(bert(), tmp_path)
    assert TextTokenizer.from_file(path=path, eos_token="[MASK]", bos_token="[PAD]").tokens[:3] == [
        "[UNK]",
        "[PAD]",
        "[MASK]",
    ]


def test_tokens_are_written_as_a_person_writes_them(tmp_path) -> None:
    assert {" the", " brown", "<0xC3>"} <= set(TextTokenizer.from_file(path=saved(gpt2(), tmp_path)).tokens)
    assert {"the", "##s"} <= set(TextTokenizer.from_file(path=saved(bert(), tmp_path)).tokens)
    spaced = [token for token in TextTokenizer.from_file(path=saved(t5(), tmp_path)).tokens if token.startswith(" ")]
    assert " " in spaced
    assert len(spaced) > 1
    assert {" ", " th", "th", "<0xC3>", "A"} <= set(TextTokenizer.from_file(path=saved(llama(), tmp_path)).tokens)


def test_holes_between_the_ids_are_closed(tmp_path, capfd) -> None:
    path = words(tmp_path, {"a": 0, "b": 5, "</s>": 9, "[UNK]": 7}, special=())
    tokenizer = TextTokenizer.from_file(path=path)
    assert tokenizer.tokens == ["[UNK]", "<bos>", "</s>", "a", "b"]
    assert tokenizer.encode(["a b zz </s> a"])[0].values.tolist() == [3, 4, UNK, UNK, 3, EOS]
    assert tokenizer.decode([UNK, BOS, 3, 4, EOS, 3]) == "[UNK] a b"
    assert TextTokenizer.from_dict(tokenizer.to_dict()).tokens == tokenizer.tokens


def test_nothing_of_the_file_cuts_pads_or_draws(tmp_path) -> None:
    long = " ".join(["the quick brown fox"] * 9)
    assert len(TextTokenizer.from_file(path=saved(bert(), tmp_path)).encode([long])[0].values) > 36
    backend = gpt2()
    backend.model.dropout = 0.5  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer = TextTokenizer.from_file(path=saved(backend, tmp_path))
    assert len({tuple(tokenizer.encode([long])[0].values.tolist()) for _ in range(9)}) == 1


def test_a_model_that_would_drop_what_it_does_not_know_gets_the_token_for_it(tmp_path) -> None:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["[UNK]", "[SEP]"]
    backend.train_from_iterator(TEXTS, trainers.BpeTrainer(special_tokens=special, show_progress=False))
    assert backend.encode("漢").ids == []
    tokenizer = TextTokenizer.from_file(path=saved(backend, tmp_path))
    assert tokenizer.encode(["漢"])[0].values.tolist() == [UNK, EOS]
    assert TextTokenizer.from_dict(tokenizer.to_dict()).encode(["漢"])[0].values.tolist() == [UNK, EOS]


def content(folder: Path, text: str | bytes) -> str:
    path = folder / "tokenizer.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def without_unknown(folder: Path) -> str:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.train_from_iterator(TEXTS, trainers.BpeTrainer(special_tokens=["[PAD]", "[SEP]"], show_progress=False))
    return saved(backend, folder)


@pytest.mark.parametrize(
    ("path", "options", "wanted"),
    [
        (lambda folder: str(folder / "none.json"), {}, ["tokenizer.path: no such file", "none.json"]),
        (lambda folder: words(folder)[: -len("/tokenizer.json")], {}, ["is a folder", "/tokenizer.json"]),
        (lambda folder: content(folder, '{"model": {'), {}, ["tokenizer.path", "is not JSON", "line 1 column"]),
        (lambda folder: content(folder, b"\xff\xfe"), {}, ["tokenizer.path", "is not JSON"]),
        (lambda folder: content(folder, '{"the": 0}'), {}, ["is not a tokenizer: it has no 'model'", "not vocab.json"]),
        (lambda folder: content(folder, "[1]"), {}, ["is not a tokenizer: it has no 'model'"]),
        (
            lambda folder: content(folder, json.dumps({"model": {"type": "BPE"}})),
            {},
            ["cannot read", "current version"],
        ),
        (lambda folder: words(folder, special=("[UNK]", "[PAD]")), {}, ["tokenizer.eos_token", "[PAD]. Name one"]),
        (
            lambda folder: words(folder, {"a": 0, "[UNK]": 1}, special=()),
            {},
            ["tokenizer.eos_token", "no special tokens at all", "add_special_tokens"],
        ),
        (words, {"eos_token": "[SPE]"}, ["tokenizer.eos_token", "has no token '[SPE]'", "Did you mean '[SEP]'?"]),
        (
            words,
            {"eos_token": "a"},
            ["tokenizer.eos_token: 'a'", "is an ordinary token, which occurs in texts", "[UNK], [SEP]. Name one"],
        ),
        (
            words,
            {"unk_token": "[SEP]"},
            ["tokenizer.unk_token", "uses '[UNK]' for unknown text", "Leave tokenizer.unk_token out"],
        ),
        (without_unknown, {}, ["tokenizer.unk_token", "would be lost", "[PAD], [SEP]. Name one"]),
        (words, {"max_length": 0}, ["tokenizer.max_length: wanted 1 or more"]),
        (words, {"keep": "middle"}, ["tokenizer.keep: there is no 'middle'"]),
    ],
)
def test_what_cannot_serve_is_told_in_one_clear_message(
    path: Callable[[Path], str], options: dict[str, Any], wanted: list[str], tmp_path
) -> None:
    with pytest.raises(UserError) as caught:
        TextTokenizer.from_file(path=path(tmp_path), **options)
    assert all(part in str(caught.value) for part in wanted), caught.value
    assert len(str(caught.value).splitlines()) == 1
