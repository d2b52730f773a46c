from collections import Counter

import numpy as np
import pytest
from engine_builders import running

from server.engine.session import SessionFailed
from server.engine.tuning.search import Candidate, Search, Space

TWO_CORES = Space(layouts=((2, 1), (1, 2)), sizes=(1, 2, 4, 8), optimizations=("all", "extended"))


class Made:
    """A contestant with a made-up rate and answer."""

    def __init__(self, field, candidate):
        self.field, self.candidate = field, candidate

    def rate(self):
        return self.field.rate_of(self.candidate)

    def run_s(self):
        if self.field.stumbling & set(self.field.properties(self.candidate)):
            raise SessionFailed("It does not run.")
        return 0.01 * self.candidate.batch

    def answer(self):
        return {"score": np.array(self.field.answer_of(self.candidate))}

    def close(self):
        self.field.open[self.candidate] -= 1


class Field:
    """Contestants by made-up factors: how much faster than usual each property makes a candidate.

    Attributes:
        open: how many of each candidate are not closed.
    """

    def __init__(self, factors=(), answers=(), failing=(), stumbling=()):
        self.factors, self.answers = dict(factors), dict(answers)
        self.failing, self.stumbling = set(failing), set(stumbling)
        self.open = Counter()

    def enter(self, candidate):
        if self.failing & set(self.properties(candidate)):
            raise SessionFailed("It does not load.")
        self.open[candidate] += 1
        return Made(self, candidate)

    def rate_of(self, candidate):
        rate = 100.0
        for one in self.properties(candidate):
            rate *= self.factors.get(one, 1.0)
        return rate

    def answer_of(self, candidate):
        return sum(self.answers.get(one, 0.0) for one in self.properties(candidate))

    def properties(self, candidate):
        return (candidate.sessions, candidate.threads), candidate.optimization, f"batch {candidate.batch}"


def searched(field, space=TWO_CORES):
    outcome = Search(space, field.enter).run()
    assert not +field.open
    return outcome


def verdicts(outcome):
    return {row.candidate: row.verdict for row in outcome.rows}


def test_what_is_usual_is_chosen_where_all_are_alike():
    outcome = searched(Field())
    assert outcome.chosen == Candidate(2, 1, 1, "all")
    assert outcome.gain == 1
    assert [row.candidate for row in outcome.rows] == [
        Candidate(2, 1, 1, "all"),
        Candidate(1, 2, 1, "all"),
        Candidate(2, 1, 1, "extended"),
        Candidate(2, 1, 2, "all"),
    ]


def test_the_best_of_each_kind_is_kept_for_the_next():
    outcome = searched(Field({(1, 2): 1.2, "extended": 1.1, "batch 2": 1.3, "batch 4": 1.31}))
    assert outcome.chosen == Candidate(1, 2, 2, "extended")
    assert outcome.gain == pytest.approx(1.2 * 1.1 * 1.3)
    assert outcome.frames_s == pytest.approx(100 * 1.2 * 1.1 * 1.3)
    assert outcome.run_s == 0.01
    assert verdicts(outcome)[Candidate(1, 2, 4, "extended")] == "not clearly faster"


@pytest.mark.parametrize(("gain", "chosen"), [(1.04, "all"), (1.06, "extended")])
def test_another_way_must_be_clearly_faster(gain, chosen):
    assert searched(Field({"extended": gain})).chosen.optimization == chosen


@pytest.mark.parametrize(("gain", "largest"), [(1.1, 1), (1.12, 2)])
def test_a_larger_batch_must_make_up_for_the_wait(gain, largest):
    assert searched(Field({"batch 2": gain})).chosen.batch == largest


def test_a_batch_in_which_a_frame_gets_another_answer_is_not_used():
    outcome = searched(Field({"batch 2": 3.0, "batch 4": 9.0}, answers={"batch 2": 1e-6}))
    assert outcome.chosen.batch == 1
    assert verdicts(outcome)[Candidate(2, 1, 2, "all")] == "other answers than alone"


def test_other_bits_are_mentioned():
    outcome = searched(Field({"extended": 1.5}, answers={"extended": 1e-6}))
    assert outcome.chosen.optimization == "extended"
    assert verdicts(outcome)[Candidate(2, 1, 1, "extended")] == "faster, other bits"


@pytest.mark.parametrize(("fails", "why"), [("failing", "It does not load."), ("stumbling", "It does not run.")])
def test_a_way_that_fails_is_passed_over(fails, why):
    outcome = searched(Field({"extended": 9.0}, **{fails: {"extended"}}))
    assert outcome.chosen == Candidate(2, 1, 1, "all")
    assert [(row.candidate.optimization, row.detail) for row in outcome.rows if row.verdict == "failed"] == [
        ("extended", why)
    ]


def test_a_model_that_does_not_run_at_all_is_an_error():
    with pytest.raises(SessionFailed):
        searched(Field(failing={"all"}))


def test_a_measurement_that_fails_in_the_middle_leaves_nothing_open():
    field = Field()
    field.rate_of = lambda candidate: 1 / 0
    with pytest.raises(ZeroDivisionError):
        Search(TWO_CORES, field.enter).run()
    assert not +field.open


def test_a_model_so_slow_that_patience_ends_stays_as_usual():
    times = iter(range(0, 10_000, 15))
    outcome = Search(TWO_CORES, Field({(1, 2): 2.0}).enter, clock=lambda: next(times)).run()
    assert outcome.chosen.sessions == 2


def spaces(**changes):
    return Space.on_cpu(running(**{"sessions": None, "threads": None, "max_batch": None, **changes}), (1, 2)).layouts


def test_every_layout_has_work_for_each_core_and_none_more():
    assert spaces(cores=2) == ((2, 1), (1, 2))
    assert spaces(cores=8) == ((8, 1), (4, 2), (2, 4), (1, 8))
    assert spaces(cores=6) == ((6, 1), (3, 2), (1, 4), (1, 6))
    assert spaces(cores=1) == ((1, 1),)


def test_what_the_settings_say_is_not_searched():
    assert spaces(cores=8, sessions=2) == ((2, 1), (2, 2), (2, 4))
    assert spaces(cores=8, threads=4) == ((2, 4),)
    assert spaces(cores=2, sessions=4, threads=3) == ((4, 3),)
