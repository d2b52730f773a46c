import random

import pytest

from server.engine.tuning.duel import Duel


def fought(gain, ratios):
    """A duel fed with ratios until it is decided: whether it was won, and after how many pairs."""
    duel = Duel(gain)
    for count, ratio in enumerate(ratios, start=1):
        duel.add(100.0, 100.0 * ratio)
        if duel.won is not None:
            return duel.won, count
    return None, len(ratios)


def test_who_is_much_slower_is_given_up_after_two_pairs():
    assert fought(1.05, [0.5] * 9) == (False, 2)


def test_who_is_slower_half_of_the_time_is_given_up_soon():
    assert fought(1.05, [1.01, 0.99, 0.98, 1.0, 1.2]) == (False, 4)


def test_who_is_clearly_faster_each_time_wins_soon():
    assert fought(1.05, [1.2] * 9) == (True, 4)


def test_a_little_faster_is_not_enough():
    assert fought(1.05, [1.03] * 9) == (False, 9)


def test_one_pair_that_something_disturbed_decides_nothing():
    assert fought(1.05, [1.2, 0.6, 1.2, 1.2, 1.2, 1.2, 1.2, 1.2, 1.2]) == (True, 9)
    assert fought(1.05, [1.0, 3.0, 1.01, 1.0, 1.01, 1.0, 1.02, 1.0, 1.01]) == (False, 9)


def test_faster_in_the_median_but_often_slower_is_not_enough():
    assert fought(1.05, [1.3, 0.95, 1.3, 0.95, 1.3, 0.95, 1.3, 1.3, 1.3]) == (False, 9)


def test_what_slows_both_down_changes_nothing():
    duel = Duel(1.05)
    for speed in (1.0, 0.2, 0.7, 0.1):
        duel.add(100 * speed, 120 * speed)
    assert duel.ratio == pytest.approx(1.2)
    assert duel.won


def test_two_that_are_equal_on_a_restless_machine_are_seldom_told_apart():
    dice = random.Random(1)
    won = sum(bool(fought(1.05, [dice.lognormvariate(0, 0.05) for _ in range(9)])[0]) for _ in range(1000))
    assert won < 20
