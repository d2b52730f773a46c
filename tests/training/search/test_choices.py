from __future__ import annotations

from typing import Any

import pytest

from training.errors import ConfigInvalid
from training.search.choices import Choice, Given, Range, choices, filled

GRU = {"particle": "gru", "hidden": {"range": [8, 32], "step": 8}}
NET = [
    {"choose": {"gru": [GRU, "time_pool"], "mean": {"particle": "time_pool", "kind": "mean"}, "none": []}},
    "flatten",
]


@pytest.mark.parametrize(
    ("tree", "chosen", "expected"),
    [
        ({"a": {"choose": [1, 2]}}, {}, {"a": 1}),
        ({"a": {"choose": [1, 2]}}, {"a": "2"}, {"a": 2}),
        ({"a": {"choose": [True, None, 0.5]}}, {"a": "none"}, {"a": None}),
        ({"a": {"b": {"range": [3, 9]}}}, {}, {"a": {"b": 3}}),
        ({"a": {"b": {"range": [3, 9]}}}, {"a.b": 5}, {"a": {"b": 5}}),
        # In a list, an alternative that is a list stands for all of its entries; elsewhere it is a value.
        (NET, {}, [{"particle": "gru", "hidden": 8}, "time_pool", "flatten"]),
        (NET, {"0.gru.0.hidden": 24}, [{"particle": "gru", "hidden": 24}, "time_pool", "flatten"]),
        (NET, {"0": "mean"}, [{"particle": "time_pool", "kind": "mean"}, "flatten"]),
        (NET, {"0": "none"}, ["flatten"]),
        ({"betas": {"choose": [[0.9, 0.99], [0.8, 0.9]]}}, {"betas": "[0.8, 0.9]"}, {"betas": [0.8, 0.9]}),
        # One name, one choice; what is within it goes by its name too.
        (
            [{"choose": [4, 8], "named": "width"}, {"choose": [4, 8], "named": "width"}],
            {"width": "8"},
            [8, 8],
        ),
        # A particle may have options of these names.
        ([{"particle": "mine:Block", "range": [1, 2]}], {}, [{"particle": "mine:Block", "range": [1, 2]}]),
    ],
)
def test_a_recipe_is_what_was_chosen(tree: Any, chosen: dict[str, Any], expected: Any) -> None:
    assert filled(tree, Given(chosen)) == expected


def test_choices_are_called_by_their_place_and_know_what_they_depend_on() -> None:
    found = choices({"net": NET, "fit": {"rate": {"range": [1e-4, 1e-2], "log": True}}})

    assert [one.name for one in found] == ["net.0", "net.0.gru.0.hidden", "fit.rate"]
    first, hidden, rate = found
    assert isinstance(first, Choice)
    assert list(first.alternatives) == ["gru", "mean", "none"]
    assert isinstance(hidden, Range)
    assert (hidden.low, hidden.high, hidden.step, hidden.whole, hidden.within) == (8, 32, 8, True, {"net.0": "gru"})
    assert isinstance(rate, Range)
    assert (rate.whole, rate.log, rate.within) == (False, True, {})


def test_alternatives_without_a_name_are_called_by_what_they_are() -> None:
    given = [
        {"particle": "gru", "hidden": 8},
        {"particle": "gru", "hidden": 16},
        [{"particle": "lstm", "hidden": 8}, "time_pool"],
        [],
        {"preset": "clip-trunk"},
        {"repeat": 2, "net": ["norm"]},
        {"kind": "sgd", "rate": 0.1},
        0.5,
        True,
        "relu",
    ]
    (found,) = choices({"a": {"choose": given}})
    assert isinstance(found, Choice)
    assert list(found.alternatives) == [
        "gru",
        "gru (2)",
        "lstm+time_pool",
        "nothing",
        "clip-trunk",
        "repeat+net",
        "sgd",
        "0.5",
        "true",
        "relu",
    ]
    assert list(found.alternatives.values()) == given


def test_numbers_that_yaml_takes_for_text_are_numbers() -> None:
    (found,) = choices({"rate": {"range": ["1e-4", "1e-2"], "log": True}})
    assert isinstance(found, Range)
    assert (found.low, found.high) == (1e-4, 1e-2)


@pytest.mark.parametrize(
    ("tree", "told"),
    [
        ({"a": {"choose": []}}, "a: choose: .* at least 1 item"),
        ({"a": {"choose": 3}}, "a: choose"),
        ({"a": {"choose": [1, 2, 1]}}, "a: 1 is there twice"),
        ({"a": {"choose": [1, 2], "name": "b"}}, "a: name is not known; did you mean 'named'?"),
        ({"a": {"chose": [1, 2]}}, "a: chose is not known; did you mean 'choose'?"),
        ({"a": {"ranges": [1, 2]}}, "a: ranges is not known; did you mean 'range'?"),
        ({"a": {"range": [1, 2], "steps": 1}}, "a: steps is not known; did you mean 'step'?"),
        ({"a": {"range": [2, 1]}}, "a: a range goes up, and this one from 2 to 1"),
        ({"a": {"range": [1, 2, 3]}}, "a: range"),
        ({"a": {"range": [0, 1.0], "log": True}}, "a: a range with `log` begins above 0"),
        ({"a": {"range": [1, 9], "log": True, "step": 2}}, "a: a range with `log` .* has no `step`"),
        ({"a": {"range": [1, 8], "step": 2}}, "a: steps of 2 do not lead from 1 to 8"),
        ({"a": {"range": [1, 2], "choose": [1]}}, "a: range is not known"),
        (
            [{"choose": [1, 2], "named": "w"}, {"choose": [1, 3], "named": "w"}],
            "1: two choices are named 'w', and do not say the same",
        ),
    ],
)
def test_a_choice_that_is_written_wrongly_is_told_with_its_place(tree: Any, told: str) -> None:
    with pytest.raises(ConfigInvalid, match=told):
        choices(tree)
