"""Plain values of a configuration, and the objects that they describe."""

import functools

import pytest
from omegaconf import OmegaConf

from lstm_readout.config.build import instantiate
from lstm_readout.config.values import flatten, plain_values
from lstm_readout.errors import UserError

HERE = __name__


def record(*arguments, **options):
    return arguments, options


def refuse():
    raise UserError("wrong value")


def test_nodes_are_called_from_the_inside_out():
    node = {"_target_": f"{HERE}.record", "child": {"_target_": f"{HERE}.record", "size": 3}, "list": [{"a": 1}]}
    assert instantiate(node, more=2) == ((), {"child": ((), {"size": 3}), "list": [{"a": 1}], "more": 2})


def test_arguments_replace_those_of_the_node():
    assert instantiate({"_target_": f"{HERE}.record", "size": 3}, size=4) == ((), {"size": 4})


def test_a_partial_node_is_called_later():
    made = instantiate({"_target_": f"{HERE}.record", "_partial_": True, "_convert_": "all", "size": 3})
    assert isinstance(made, functools.partial)
    assert made(1) == ((1,), {"size": 3})


def test_positional_arguments_and_nodes_left_alone():
    child = {"_target_": f"{HERE}.refuse"}
    node = {"_target_": f"{HERE}.record", "_args_": [1, 2], "_recursive_": False, "child": child}
    assert instantiate(node) == ((1, 2), {"child": child})


def test_a_user_error_arrives_as_it_was_raised():
    with pytest.raises(UserError, match=r"^wrong value$"):
        instantiate({"callbacks": [{"_target_": f"{HERE}.refuse"}]})


def test_what_looks_like_an_interpolation_in_a_resolved_value_is_text():
    config = OmegaConf.create({"path": "a\\${b}.csv", "node": {"_target_": f"{HERE}.record", "path": "${path}"}})
    assert instantiate(plain_values(config)["node"]) == ((), {"path": "a${b}.csv"})


def test_values_are_plain_and_interpolations_resolved_if_asked_for():
    config = OmegaConf.create({"a": {"b": [1, 2]}, "c": "${a.b}"})
    assert plain_values(config) == {"a": {"b": [1, 2]}, "c": [1, 2]}
    assert plain_values(config, resolve=False)["c"] == "${a.b}"
    assert dict(flatten(plain_values(config))) == {"a": {"b": [1, 2]}, "a.b": [1, 2], "c": [1, 2]}
