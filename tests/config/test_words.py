"""The command line against Hydra's own parser: what a user writes is what the program gets."""

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from lstm_readout.config.words import is_given, readable, value_of


def read(*words: str):
    """Return what Hydra and OmegaConf make of the last word."""
    value = OverridesParser.create().parse_override(readable([*words])[-1]).value()
    return OmegaConf.to_container(OmegaConf.create({"value": value}), resolve=True)["value"]


NAMES = [
    "größe/d.csv", "日本語 データ.csv", "a b.csv", "a,b", "lr=0.1,seed=1", "[x]", "(x)", "{x}", "a[1](2)", "x@y", "a~b",
    "#x&y;z!", "it's", 'say "x"', "a\\b.csv", "C:\\data\\ü", "-x", "123", "true", "1e5", "a:b",
    "a${b}.csv", "x'", "back\\",
]  # fmt: skip
PATHS = ["data.path", "checkpoint", "resume", "init_from", "vectors.path", "tokenizer.path", "input", "output",
         "attention_map", "hydra.run.dir", "hydra.sweep.dir"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_path_may_have_any_name(name):
    for key in PATHS:
        several = name[0] in "[{" and key in ("data.path", "vectors.path", "tokenizer.path")
        if not several and not (key.startswith("hydra.") and "${" in name):  # Hydra's own settings refer to each other
            assert read(f"{key}={name}") == name
        assert value_of([f"{key}={name}"], key) == name


@pytest.mark.parametrize("name", ["größe/d.csv", "a b,c", "x=1", "[x]", 'say "x"', "日本"])
def test_quotes_around_a_path_change_nothing(name):
    for key in PATHS:
        assert read(f"{key}='{name}'") == name == value_of([f"{key}='{name}'"], key)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=12).filter(lambda text: "${" not in text))
def test_any_text_and_any_output_arrive_as_they_are(text):
    assert read(f"text={text}") == text
    if text.strip() and text[0] not in "~'\"" and text.lower() != "null":
        assert read(f"output={text}") == text
        assert readable(readable([f"output={text}"])) == readable([f"output={text}"])


@pytest.mark.parametrize("text", ["${x}", "a\\${oc.env:HOME}", "'quoted'", "null", "~"])
def test_a_text_is_no_expression(text):
    assert read(f"text={text}") == text


def test_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert read("data.path=~/a.csv") == read("data.path='~/a.csv'") == "/home/me/a.csv"
    assert read("hydra.run.dir=~/ü") == "/home/me/ü"
    assert read("ensemble=[~/a.ckpt,b.ckpt]") == ["/home/me/a.ckpt", "b.ckpt"]
    assert read("data.path=~nobody-of-this-name/a") == "~nobody-of-this-name/a"
    assert readable(["--config-dir=~/conf"]) == ["--config-dir=/home/me/conf"]


def test_several_paths():
    assert read("data.files.train={source:größe/a.de,target:'b c.en'}") == {"source": "größe/a.de", "target": "b c.en"}
    assert read("data.path=[ä.csv,b.csv]") == ["ä.csv", "b.csv"]
    assert read("data.path='[ä.csv,b.csv]'") == "[ä.csv,b.csv]"


def test_interpolations_of_hydra_and_the_environment_stay(monkeypatch):
    monkeypatch.setenv("CORPORA", "/corpora")
    assert read("data.path=${oc.env:CORPORA}/größe.csv") == "/corpora/größe.csv"
    assert value_of(["checkpoint=${oc.env:CORPORA}/a b.ckpt"], "checkpoint") == "/corpora/a b.ckpt"
    assert readable(["hydra.sweep.subdir=${hydra.job.override_dirname}"]) == [
        "hydra.sweep.subdir=${hydra.job.override_dirname}"
    ]


def test_letters_beyond_ascii_in_every_other_value():
    assert read("data.columns.text=Größe") == "Größe"
    assert read("data.columns={text:評価,label:x}") == {"text": "評価", "label": "x"}
    assert read("tokenizer.special=[ü,1,null]") == ["ü", 1, None]


def test_what_hydra_reads_already_stays_as_it_is():
    words = [
        "seed=1",
        "model.sizes=[1,2]",
        "~vectors",
        "+a.b=3",
        "-m",
        "seed=1,2",
        "data.path=a/b-1.csv",
        "data.path=null",
    ]
    assert readable(words) == words
    assert readable(["seed=[1"]) == ["seed=[1"]  # Hydra says what is wrong


def test_a_comma_separates_the_paths_of_a_sweep_only():
    assert readable(["-m", "data.path=ä.csv,b.csv", "hydra.sweep.dir=a,b"]) == [
        "-m", "data.path='ä.csv','b.csv'", "hydra.sweep.dir='a,b'",
    ]  # fmt: skip
    assert readable(["data.path=a.csv,b.csv"]) == ["data.path='a.csv,b.csv'"]


def test_the_last_value_counts():
    words = ["resume=a", "+resume='b c'", "data=null"]
    assert value_of(words, "resume") == "b c"
    assert value_of(words, "data") is None
    assert is_given(words, "data")
    assert not is_given(words, "task")
    assert value_of(words, "sume") is None


def test_a_path_is_where_it_says(tmp_path: Path):
    for name in NAMES:
        (tmp_path / name.replace("/", "_")).write_text("x")
        assert Path(read(f"input={tmp_path / name.replace('/', '_')}")).is_file()
