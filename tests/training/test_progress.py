from __future__ import annotations

import math

import pytest

from training.configuration import Config
from training.optimisation import Plateau
from training.progress import Progress


def after(*values: float, **changes: object) -> Progress:
    """Progress whose measure went like this."""
    progress = Progress("accuracy", True, **changes)
    for epoch, value in enumerate(values, start=1):
        progress.add({"epoch": float(epoch), "accuracy": value})
    return progress


def test_the_best_is_the_first_of_equals() -> None:
    assert after(0.5, 0.9, 0.9, 0.7).best == 1
    assert after(0.5, 0.9).newest_is_kept
    assert not after(0.5, 0.9, 0.9).newest_is_kept
    assert after().best is None


def test_of_equals_the_one_with_the_clearly_smaller_loss_is_best() -> None:
    progress = Progress("accuracy", True, patience=2)
    for accuracy, loss in ((0.5, 0.7), (0.75, 0.6), (0.75, 0.5), (0.75, 0.499), (0.5, 0.1)):
        progress.add({"accuracy": accuracy, "val_loss": loss})
    assert progress.best == 2
    assert progress.stopped


def test_the_last_is_kept_where_that_is_asked_for() -> None:
    progress = after(0.5, 0.9, 0.7, keep="last")
    assert progress.kept == 2
    assert progress.newest_is_kept
    assert progress.best == 1
    assert after(keep="last").kept is None


def test_of_errors_the_smallest_is_best() -> None:
    progress = Progress("rmse", False)
    for value in (3.0, 1.0, 2.0):
        progress.add({"rmse": value})
    assert progress.best == 1


def test_what_is_no_number_is_never_best_but_kept_until_there_is_one() -> None:
    assert after(math.nan).best is None
    assert after(math.nan).newest_is_kept
    assert after(math.nan, 0.1, math.nan).best == 1


@pytest.mark.parametrize(
    ("values", "stopped"), [((0.5, 0.6), False), ((0.6, 0.5), False), ((0.6, 0.5, 0.5), True), ((math.nan,) * 2, True)]
)
def test_patience_ends_when_nothing_got_better_for_so_long(values: tuple[float, ...], stopped: bool) -> None:
    assert after(*values, patience=2).stopped is stopped
    assert not after(*values).stopped


@pytest.mark.parametrize(
    ("values", "factor"),
    [((0.5, 0.6), 1.0), ((0.6, 0.5), 1.0), ((0.6, 0.5, 0.5), 0.5), ((0.6, 0.5, 0.5, 0.7, 0.7, 0.7), 0.25)],
)
def test_a_plateau_slows_down_each_time_it_lasts(values: tuple[float, ...], factor: float) -> None:
    schedule: Config = Plateau(kind="plateau", patience=2, by=0.5)
    assert after(*values, schedule=schedule).slowed == factor
