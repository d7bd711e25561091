from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from typing_extensions import TypedDict, Unpack

from lstm_readout.config.check import check_targets
from lstm_readout.config.hydra_main import hydra_main
from lstm_readout.config.values import flatten
from lstm_readout.errors import UserError

if TYPE_CHECKING:
    from nowhere import NotImported  # pyright: ignore[reportMissingImports]


class Sizes(TypedDict, total=False):
    hidden_size: int
    cell: Literal["lstm", "gru"]


class Layer:
    def __init__(
        self,
        size: int,
        rate: float = 0.0,
        bias: bool = True,
        name: str = "",
        limit: int | None = None,
        implicit: int = None,  # type: ignore[assignment]  # noqa: RUF013
        cell: Literal["lstm", "gru"] | None = "lstm",
        sizes: list[int] | tuple[int, ...] = (),
        pair: tuple[int, float] = (0, 0.0),
        names: Sequence[str] = (),
        weights: Mapping[str, float] | None = None,
        activation: Callable[[Any], Any] | None = None,
        hidden: NotImported | None = None,
        child: Layer | None = None,
        path: Path | int = 0,
        either: float | Layer = 0.0,
        free=None,
    ) -> None:
        raise AssertionError("the check must not call the target")


class Model:
    def __init__(self, *, vocab_size: int, **sizes: Unpack[Sizes]) -> None: ...


class Open:
    def __init__(self, size: int, **options: Any) -> None: ...


def build(size: int, rate: float = 0.0) -> None: ...


def faults_of(config: dict[str, Any]) -> list[str]:
    try:
        check_targets(OmegaConf.create(config))
    except UserError as error:
        return str(error).splitlines()
    return []


def target(name: str = "Layer", /, **arguments: Any) -> dict[str, Any]:
    return {"_target_": f"{__name__}.{name}", **arguments}


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"size": 3, "rate": 0.5, "bias": False, "name": "a", "limit": 3, "cell": "gru"},
        {"rate": 1, "limit": None, "implicit": None, "cell": None, "sizes": [1, 2], "pair": [1, 2.5]},
        {"names": ["a"], "weights": {"a": 1}, "activation": "anything", "hidden": 3, "free": [{}]},
        {"child": {"_target_": f"{__name__}.Layer", "size": 1}, "size": {"_target_": f"{__name__}.build"}},
        {"path": "a", "either": 1.0},
        {"_partial_": True, "_convert_": "all", "_recursive_": False, "_args_": [1]},
    ],
)
def test_good_values_pass(arguments: dict[str, Any]) -> None:
    assert faults_of({"layer": target(**arguments)}) == []


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"size": "abc"}, "layer.size: wanted int, got 'abc' (str)."),
        ({"size": True}, "layer.size: wanted int, got True (bool)."),
        ({"size": 2.0}, "layer.size: wanted int, got 2.0 (float)."),
        ({"size": None}, "layer.size: wanted int, got null."),
        ({"size": [1]}, "layer.size: wanted int, got [1] (list)."),
        ({"size": "3"}, "layer.size: wanted int, got '3' (str). Write it without quotes."),
        ({"rate": "1e-3"}, "layer.rate: wanted float, got '1e-3' (str). Write it without quotes."),
        ({"bias": "yes"}, "layer.bias: wanted bool, got 'yes' (str). Write true or false."),
        ({"bias": 1}, "layer.bias: wanted bool, got 1 (int)."),
        ({"name": 3}, "layer.name: wanted str, got 3 (int). For text, write layer.name=\"'3'\"."),
        ({"limit": "x"}, "layer.limit: wanted int or null, got 'x' (str)."),
        ({"cell": "lstn"}, "layer.cell: got 'lstn'. Did you mean 'lstm'? Valid: gru, lstm."),
        ({"cell": 3}, "layer.cell: wanted 'lstm' or 'gru' or null, got 3 (int)."),
        ({"sizes": ["a"]}, "layer.sizes: wanted list of int or list of int, got ['a'] (list)."),
        ({"pair": [1]}, "layer.pair: wanted list of 2 (int, float), got [1] (list)."),
        ({"names": "abc"}, "layer.names: wanted list of str, got 'abc' (str)."),
        ({"weights": [1]}, "layer.weights: wanted dict or null, got [1] (list)."),
        ({"weights": {"a": "b"}}, "layer.weights: wanted dict or null, got {'a': 'b'} (dict)."),
        ({"either": "a"}, "layer.either: wanted float or Layer, got 'a' (str)."),
        ({"size": "???"}, "layer.size: must be given, for example layer.size=..."),
        (
            {"size": "${nothing}"},
            "layer.size: cannot read '${nothing}': Interpolation key 'nothing' not found.",
        ),
    ],
)
def test_wrong_kind_is_named(arguments: dict[str, Any], fault: str) -> None:
    assert faults_of({"layer": target(**arguments)}) == [fault]


def test_unknown_key_names_the_nearest() -> None:
    assert faults_of({"f": target("build", szie=3)}) == [
        "f.szie: build takes no 'szie'. Did you mean 'size'? Valid: rate, size."
    ]


def test_keywords_of_a_typed_dict_are_the_schema() -> None:
    assert faults_of({"m": target("Model", hidden_size=3, cell="gru")}) == []
    assert faults_of({"m": target("Model", hiden_size=3, cell="rnn", hidden_size="a")}) == [
        "m.hiden_size: Model takes no 'hiden_size'. Did you mean 'hidden_size'? Valid: cell, hidden_size, vocab_size.",
        "m.cell: got 'rnn'. Valid: gru, lstm.",
        "m.hidden_size: wanted int, got 'a' (str).",
    ]


def test_open_keywords_accept_any_name() -> None:
    assert faults_of({"m": target("Open", size=1, whatever="x")}) == []


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        (
            f"{__name__}.Layr",
            f"cannot find '{__name__}.Layr'. Did you mean '{__name__}.Layer'?",
        ),
        (
            "lstm_readout.erors.UserError",
            "cannot find 'lstm_readout.erors.UserError': there is no 'lstm_readout.erors'. "
            "Did you mean 'lstm_readout.errors'?",
        ),
        (
            "lstm_redout.errors",
            "cannot find 'lstm_redout.errors': there is no 'lstm_redout'. Did you mean 'lstm_readout'?",
        ),
        ("lstm_readout.errors", "'lstm_readout.errors' cannot be called (module)."),
    ],
)
def test_missing_target_names_the_nearest(path: str, fault: str) -> None:
    assert faults_of({"model": {"_target_": path}}) == [f"model._target_: {fault}"]


def test_faults_in_lists_nested_nodes_and_plain_nodes_are_told_together() -> None:
    config = {
        "callbacks": [target("build", size=1), target("build", size="a")],
        "outer": target(child=target(size="b")),
        "data": {"path": "???", "again": "${data.path}", "late": "${hydra:runtime.output_dir}"},
        "shared": "${outer}",
    }
    assert faults_of(config) == [
        "data.path: must be given, for example data.path=...",
        "callbacks.1.size: wanted int, got 'a' (str).",
        "outer.child.size: wanted int, got 'b' (str).",
    ]


# The command line.

CONFIGS = {
    "train.yaml": "defaults: [model: small, task: classify, _self_]\nseed: 1\n",
    "swept.yaml": "defaults: [train, _self_]\nhydra: {mode: MULTIRUN, sweeper: {params: {seed: '4,5'}}}\n",
    "model/small.yaml": f"_target_: {__name__}.Layer\nsize: 3\nrate: 1e-3\n",
    "model/large.yaml": f"_target_: {__name__}.Layer\nsize: wrong\n",
    "task/classify.yaml": "labels: 2\n",
    "task/translate.yaml": "beam: 4\n",
}


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give a package of configs, in an empty working folder; take back what Hydra does to the logging."""
    package = tmp_path / "package_of_configs"
    for name, text in CONFIGS.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (package / "__init__.py").touch()
    working = tmp_path / "work"
    working.mkdir()
    monkeypatch.chdir(working)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield package.name
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.modules.pop(package.name, None)
    GlobalHydra.instance().clear()


def exit_code(run: Callable[..., Any], module: str, arguments: str) -> int | str | None:
    before = list(sys.argv)
    try:
        hydra_main(run, config_name="train", config_module=module, arguments=arguments.split())
    except SystemExit as stop:
        return stop.code
    finally:
        assert sys.argv == before
    return 0


def never(config: dict[str, Any]) -> None:
    raise AssertionError("must not run")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("task=clasify", "Could not find 'task/clasify'. Did you mean 'classify'? "
                         "Valid: classify, translate."),
        ("tsk=classify", "Could not find 'tsk'. Did you mean 'task'? Valid: model, seed, task."),
        ("modle.size=3", "Could not find 'modle.size'. Did you mean 'model.size'? Valid: model, seed, task."),
        ("task.lables=3", "Could not find 'task.lables'. Did you mean 'task.labels'? Valid in task: labels."),
        ("model.limit=3", f"'model.limit' is not in the config, but '{__name__}.Layer' takes it: "
                          "write +model.limit=3 to add it."),
        ("model.size=abc", "model.size: wanted int, got 'abc' (str)."),
        ("+seed=3", "'seed' is already in the config: write seed=3 to change it."),
        ("+sed=3", "Could not find 'sed'. Did you mean 'seed'? Valid: model, seed, task."),
        ("++modle.size=3", "Could not find 'modle'. Did you mean 'model'? Valid: model, seed, task."),
        ("~seed", "seed: it cannot be left out. Set seed=..."),
        ("~model", "model: it cannot be left out. Choose one: model=large, model=small."),
        ("task=null", "'task=null' names no file. To leave the group out, write ~task."),
        ("~model._target_", "model: it has no _target_, so nothing is built from it. Choose a file: model=NAME."),
        ("+task=translate", "'task' is already in the config: write task=translate to change it."),
        ("~sed", "Could not find 'sed'. Did you mean 'seed'? Valid: model, seed, task."),
        ("seed", "Cannot read 'seed': missing EQUAL at '<EOF>'. Wanted key=value; quote text."),
        ("seed=[1", "Cannot read 'seed=[1': no viable alternative at input '[1'. "
                    "Wanted key=value; quote text."),
        ("=3", "Cannot read '=3': it has no key. Wanted key=value."),
        ("seed=${sed}", "seed: cannot read '${sed}': Interpolation key 'sed' not found."),
        ("seed=???", "seed: must be given, for example seed=..."),
        ("seed=1,2", "'seed=1,2' names several values: add -m to run each, or write seed=[1,2] for a list."),
        ("hydra/launcher=jblib", "Could not find 'hydra/launcher/jblib'. Valid: basic."),
        ("hydra.job.chdir=abc", "Error merging override hydra.job.chdir=abc. "
                                "Value 'abc' is not a valid bool (type str)."),
        ("--config-name trian", "Could not find the config 'trian'. Did you mean 'train'? "
                                "Valid: swept, train."),
        ("--config-dir nowhere", "--config-dir: there is no folder 'nowhere'."),
        ("--cfg job tsk=classify", "Could not find 'tsk'. Did you mean 'task'? Valid: model, seed, task."),
        ("--cfg job -m", "Only one of --cfg and --multirun can be given."),
        ("-m seed=1,2 task=classify,translat", "Could not find 'task/translat'. Did you mean 'translate'? "
                                               "Valid: classify, translate."),
        ("-m model.size=1,a,b", "model.size: wanted int, got 'a' (str).\n"
                                "       model.size: wanted int, got 'b' (str)."),
        ("-m model=small,large", "model.size: wanted int, got 'wrong' (str)."),
        ("-m seed=interval(1,3)", "'seed=interval(1,3)': the basic sweeper cannot draw from an interval; "
                                  "list values or use range(...)."),
        ("-m hydra.job.name=a,b", "'hydra.job.name=a,b' names several values, but Hydra's own settings "
                                   "cannot be swept."),
        ("-m task=glob(z*)", "'task=glob(z*)' has no value at all."),
        ("sed=1 task.x=3", "Could not find 'sed'. Did you mean 'seed'? Valid: model, seed, task.\n"
                           "       Could not find 'task.x'. Valid in task: labels."),
    ],
)  # fmt: skip
def test_refused_before_any_folder(
    module: str, capsys: pytest.CaptureFixture[str], arguments: str, message: str
) -> None:
    assert exit_code(never, module, arguments) == 2
    captured = capsys.readouterr()
    assert captured.err == f"error: {message}\n"
    assert captured.out == ""
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "seeds"),
    [
        ("seed=3 hydra.run.dir=out", [3]),
        ("task=translate task.beam=2 +model.limit=1 ~task.beam", [1]),
        ("model.size=7 -m seed=1,2", [1, 2]),  # overrides on both sides of the flag
        ("-m seed=range(1,4)", [1, 2, 3]),
        ("--config-name swept", [4, 5]),
        ("--config-name swept seed=6,7", [6, 7]),
        ("hydra/launcher=basic hydra.job.name=x", [1]),
    ],
)
def test_runs_as_hydra_main_does(module: str, arguments: str, seeds: list[int]) -> None:
    seen: list[int] = []
    assert exit_code(lambda config: seen.append(config["seed"]), module, arguments) == 0
    assert seen == seeds


def test_config_dir_adds_options(module: str, tmp_path: Path) -> None:
    option = tmp_path / "mine" / "task" / "own.yaml"
    option.parent.mkdir(parents=True)
    option.write_text("labels: 9\n", encoding="utf-8")
    seen: list[int] = []
    arguments = f"task=own --config-dir {option.parent.parent}"
    assert exit_code(lambda config: seen.append(config["task"]["labels"]), module, arguments) == 0
    assert seen == [9]


def test_a_run_is_composed_once(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    composed: list[list[str]] = []
    load = ConfigLoaderImpl.load_configuration

    def counted(self: ConfigLoaderImpl, config_name: str, overrides: list[str], *rest: Any, **options: Any) -> Any:
        composed.append(overrides)
        return load(self, config_name, overrides, *rest, **options)

    monkeypatch.setattr(ConfigLoaderImpl, "load_configuration", counted)
    assert exit_code(lambda config: None, module, "seed=3 hydra.run.dir=out") == 0
    assert composed == [["seed=3", "hydra.run.dir=out"]]
    assert OmegaConf.load("out/.hydra/overrides.yaml") == ["seed=3"]
    assert OmegaConf.load("out/.hydra/config.yaml")["seed"] == 3


def test_a_run_gets_plain_values_or_the_config_itself(module: str) -> None:
    seen: list[Any] = []
    for plain in (True, False):
        hydra_main(
            lambda config, extra: seen.append((type(config), extra)),
            config_name="train",
            config_module=module,
            arguments=["hydra.run.dir=out"],
            plain=plain,
            extra=7,
        )
    assert seen == [(dict, 7), (DictConfig, 7)]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("seed: ???", "seed: must be given, for example seed=..."),
        ("defaults: [first]\nseed: ???", "seed: must be given, for example seed=..."),
        ("model:\n  limit: ???", "model.limit: must be given, for example model.limit=..."),
        ("task:\n  labels: ???", "task.labels: must be given, for example task.labels=..."),
    ],
)
def test_an_option_asks_for_what_has_a_value_before(
    module: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, message: str
) -> None:
    folder = tmp_path / "mine" / "experiment"
    folder.mkdir(parents=True)
    (folder / "first.yaml").write_text("# @package _global_\nseed: 7\n", encoding="utf-8")
    (folder / "asks.yaml").write_text(f"# @package _global_\n{option}\n", encoding="utf-8")
    (folder / "gives.yaml").write_text(
        "# @package _global_\ndefaults: [asks]\nseed: 8\nmodel: {limit: 8}\ntask: {labels: 8}\n", encoding="utf-8"
    )
    key = message.partition(":")[0]
    config_dir = f"--config-dir {folder.parent}"
    assert exit_code(never, module, f"+experiment=asks {config_dir}") == 2
    assert capsys.readouterr().err == f"error: {message}\n"
    assert list(Path.cwd().iterdir()) == []
    seen: list[Any] = []
    run = seen.append
    assert exit_code(lambda config: run(config), module, f"+experiment=asks {key}=9 {config_dir}") == 0
    assert exit_code(lambda config: run(config), module, f"+experiment=gives {config_dir}") == 0
    assert [dict(flatten(config))[key] for config in seen] == [9, 8]


@pytest.mark.parametrize("flag", ["--help", "--hydra-help", "--info searchpath", "--version", "--cfg job"])
def test_flags_of_hydra_still_print(module: str, capsys: pytest.CaptureFixture[str], flag: str) -> None:
    assert exit_code(never, module, flag) in (0, None)
    captured = capsys.readouterr()
    assert captured.out
    assert captured.err == ""


@pytest.mark.parametrize(
    ("arguments", "log"), [("seed=2 hydra.run.dir=out", ""), ("-m seed=2,3 hydra.sweep.dir=out", "out/0")]
)
def test_user_error_inside_the_run(module: str, capsys: pytest.CaptureFixture[str], arguments: str, log: str) -> None:
    def run(config: dict[str, Any]) -> None:
        raise UserError(f"seed {config['seed']} is bad\nuse 1")

    assert exit_code(run, module, f"{arguments} hydra.job.name=train") == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: seed 2 is bad\n       use 1\n")
    assert "bad" not in captured.out
    if not log:  # a run of its own leaves nothing
        assert list(Path.cwd().iterdir()) == []
        return
    assert captured.err.endswith("error: refused, of the jobs of this sweep: 0, 1; their logs say why.\n")
    written = Path(log, "train.log").read_text(encoding="utf-8")
    assert "[ERROR] - seed 2 is bad" in written
    assert "Traceback" not in written


def test_other_errors_leave_their_traceback_in_the_log(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    def run(config: dict[str, Any]) -> None:
        raise KeyError("boom")

    assert exit_code(run, module, "hydra.run.dir=out hydra.job.name=train") == 1
    assert "KeyError: 'boom'" in capsys.readouterr().err
    written = Path("out/train.log").read_text(encoding="utf-8")
    assert "run failed\nTraceback" in written
    assert "KeyError: 'boom'" in written


@pytest.mark.parametrize(("stop", "code"), [(KeyboardInterrupt(), 130), (SystemExit(7), 7)])
def test_interrupt_and_exit(module: str, capsys: pytest.CaptureFixture[str], stop: BaseException, code: int) -> None:
    def run(config: dict[str, Any]) -> None:
        raise stop

    assert exit_code(run, module, "hydra.run.dir=out") == code
    assert "Traceback" not in capsys.readouterr().err
