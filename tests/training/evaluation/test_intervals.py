"""The bootstrap over groups."""

import numpy as np
import pytest

from training.evaluation.answers import ClassAnswers
from training.evaluation.intervals import intervals


def answers(right: np.ndarray) -> ClassAnswers:
    """Two classes in turn, answered rightly where it says so."""
    target = np.arange(len(right)) % 2
    said = np.where((target == 1) == right, 0.8, 0.2)
    return ClassAnswers(np.stack([1 - said, said], axis=1), target)


def test_an_interval_holds_the_value_and_is_as_wide_as_statistics_say() -> None:
    right = np.random.default_rng(0).random(400) < 0.8
    found = answers(right)
    low, high = intervals(found, np.arange(400))["accuracy"]
    assert low < found.measures()["accuracy"] < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.8 * 0.2 / 400), rel=0.25)


def test_samples_of_a_group_that_go_together_make_it_wider() -> None:
    right = np.repeat(np.random.default_rng(0).random(40) < 0.8, 10)
    alone = intervals(answers(right), np.arange(400))["accuracy"]
    together = intervals(answers(right), np.repeat(np.arange(40), 10))["accuracy"]
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_one_group_says_nothing_of_how_sure_a_measure_is() -> None:
    found = intervals(answers(np.ones(10, bool)), np.zeros(10, np.int64))
    assert np.isnan(found["accuracy"].low)


def test_the_same_seed_gives_the_same_intervals() -> None:
    found = answers(np.random.default_rng(0).random(50) < 0.7)
    groups = np.arange(50) // 5
    assert intervals(found, groups, resamples=50) == intervals(found, groups, resamples=50)
