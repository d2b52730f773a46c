from __future__ import annotations

import math
import random
import statistics

import pytest

from training.search.config import PrunerConfig
from training.search.pruning import Bar, Course, missed

NOW = PrunerConfig(startup=1, warmup=1)


def test_one_that_is_worse_than_the_median_of_those_as_fast_falls_short() -> None:
    others = [Course(1.0, [0.2, 0.6]), Course(2.0, [0.5, 0.4]), Course(2.0, [0.7, 0.9])]
    short = missed(Course(2.0, [0.3, 0.5]), others, NOW, higher_is_better=True)
    assert short == Bar(epoch=2, best=0.5, score=0.6, rivals=3)
    assert missed(Course(2.0, [0.3, 0.6]), others, NOW, higher_is_better=True) is None


def test_one_that_is_faster_than_all_others_goes_on_whatever_its_score() -> None:
    others = [Course(1.0, [0.9]), Course(2.0, [0.95])]
    assert missed(Course(0.9, [0.1]), others, NOW, higher_is_better=True) is None
    assert missed(Course(1.0, [0.1]), others, NOW, higher_is_better=True) is not None


def test_the_best_of_its_epochs_counts() -> None:
    others = [Course(1.0, [0.5, 0.5, 0.5])]
    assert missed(Course(1.0, [0.6, 0.1, 0.1]), others, NOW, higher_is_better=True) is None


@pytest.mark.parametrize(("epochs", "ended"), [(1, False), (2, False), (3, True)])
def test_every_trial_is_given_its_warmup(epochs: int, ended: bool) -> None:
    config = PrunerConfig(startup=1, warmup=3)
    short = missed(Course(1.0, [0.1] * epochs), [Course(1.0, [0.9] * 5)], config, higher_is_better=True)
    assert (short is not None) is ended


def test_only_those_that_came_as_far_count_and_so_many_are_needed() -> None:
    config = PrunerConfig(startup=2, warmup=1)
    others = [Course(1.0, [0.9, 0.9]), Course(1.0, [0.9]), Course(1.0, [math.nan, math.nan])]
    assert missed(Course(1.0, [0.1]), others, config, higher_is_better=True) is not None
    assert missed(Course(1.0, [0.1, 0.1]), others, config, higher_is_better=True) is None


def test_one_without_any_number_falls_short() -> None:
    short = missed(Course(1.0, [math.nan]), [Course(1.0, [0.1])], NOW, higher_is_better=True)
    assert short is not None


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_the_bar_is_a_median_computed_otherwise(higher_is_better: bool) -> None:
    draws, seen = random.Random(5), set()
    for _ in range(200):
        others = [
            Course(draws.choice([1.0, 2.0, 3.0]), [draws.random() for _ in range(draws.randint(1, 4))])
            for _ in range(draws.randint(0, 8))
        ]
        one = Course(draws.choice([1.0, 2.0, 3.0]), [draws.random() for _ in range(draws.randint(1, 4))])
        best = max if higher_is_better else min
        epoch = len(one.scores)
        rivals = [
            best(o.scores[:epoch]) for o in others if len(o.scores) >= epoch and not o.latency_ms > one.latency_ms
        ]
        expected = False
        if len(rivals) >= 3:
            median = statistics.median(rivals)
            expected = best(one.scores) < median if higher_is_better else best(one.scores) > median
        got = missed(one, others, PrunerConfig(startup=3), higher_is_better=higher_is_better)
        assert (got is not None) is expected
        seen.add(expected)
    assert seen == {True, False}


def test_keep_says_which_part_goes_on() -> None:
    others = [Course(1.0, [score / 10]) for score in range(11)]
    for keep, score in ((0.1, 0.9), (0.25, 0.75), (0.8, 0.2)):
        short = missed(Course(1.0, [0.0]), others, PrunerConfig(keep=keep, startup=1), higher_is_better=True)
        assert short is not None
        assert short.score == pytest.approx(score)
