import asyncio
import time
from types import SimpleNamespace

import pytest
from stream_builders import FakeModels

from server.domain.analysis import Analysis
from server.runtime.streams.stint import Change, Lost, Stint
from server.runtime.streams.suspicion import Suspicion, accuse
from server.runtime.streams.watch import StreamWatch
from server.runtime.streams.workers import Seat, StreamWorkers

UP = ("worker-0", "worker-1", "quarantine")


def workers(*, ready=UP, occupied=False, wanted=False, coming_up=()):
    return StreamWorkers(
        ready=lambda: ready,
        quarantine=lambda needed: None,
        occupied=lambda: occupied,
        wanted=lambda: wanted,
        coming_up=lambda: coming_up,
    )


def a_stint(worker, *, ran_s=0.0, strikes=0, alone=False, held=("net@1",), displaced=False):
    case = SimpleNamespace(
        id="cam", kept=SimpleNamespace(analysis=Analysis()), suspicion=Suspicion(strikes, alone), models=held
    )
    return Stint(case, 1, worker, list(held), displaced, _began=time.monotonic() - ran_s)


def told(stint):
    """What a stint was told to do."""
    try:
        return stint._inbox.get_nowait()
    except asyncio.QueueEmpty:
        return None


def look(*stints, waiting=False, models=None, **options):
    asyncio.run(StreamWatch(models or FakeModels(), workers(**options)).look(stints, waiting=waiting))
    return [told(stint) for stint in stints]


def test_who_has_run_for_a_minute_is_suspected_of_nothing():
    fresh, settled = (a_stint(worker, ran_s=ran_s, strikes=2) for worker, ran_s in (("worker-0", 59), ("worker-1", 61)))
    assert look(fresh, settled) == [None, None]
    assert (fresh.case.suspicion.strikes, settled.case.suspicion.strikes) == (2, 0)


@pytest.mark.parametrize("who", [{"waiting": True}, {"wanted": True}])
def test_it_leaves_the_quarantine_worker_to_who_waits_for_it(who):
    (order,) = look(a_stint("quarantine", ran_s=61, strikes=3, alone=True), **who)
    assert isinstance(order, Lost)
    assert look(a_stint("quarantine", ran_s=59, strikes=3, alone=True), **who) == [None]
    assert look(a_stint("quarantine", ran_s=61)) == [None]


def test_one_stream_is_moved_where_a_worker_has_two_more_than_another():
    orders = look(*[a_stint("worker-0", ran_s=60) for _ in range(3)], a_stint("worker-1", ran_s=60))
    assert [isinstance(order, Lost) for order in orders].count(True) == 1
    assert look(*[a_stint("worker-0", ran_s=60) for _ in range(2)], a_stint("worker-1", ran_s=60)) == [None] * 3
    assert look(*[a_stint("worker-0", ran_s=20) for _ in range(3)]) == [None] * 3


def test_streams_whose_worker_died_are_spread_again_together_once_there_is_another():
    mine = [a_stint("worker-0", ran_s=60) for _ in range(2)]
    displaced = [a_stint("worker-0", ran_s=6, displaced=True) for _ in range(3)]
    moved = [isinstance(order, Lost) for order in look(*mine, *displaced, a_stint("worker-1", ran_s=60))]
    assert (moved[:2], sum(moved[2:5]), moved[5]) == ([False, False], 2, False)
    assert look(*mine, *displaced, ready=("worker-0", "quarantine")) == [None] * 5
    for stays in ({"ran_s": 4}, {"ran_s": 6, "strikes": 1}):  # it has hardly come; where it is tells whose fault it was
        assert look(*[a_stint("worker-0", displaced=True, **stays) for _ in range(3)]) == [None] * 3


def test_a_stream_is_told_of_the_version_that_serves():
    models = FakeModels()
    models.serving["net"] = 2
    (order,) = look(a_stint("worker-0"), models=models)
    assert isinstance(order, Change)
    assert look(a_stint("worker-0", held=("net@2",)), models=models) == [None]
    models.serving.clear()  # it was removed beside the server
    assert look(a_stint("worker-0"), models=models) == [None]


def test_a_stream_is_given_to_the_worker_with_the_fewest_and_a_suspect_to_the_least_suspected():
    seats = [Seat("worker-0", 0), Seat("worker-0", 1), Seat("worker-1", 2)]
    assert workers().choose(seats, alone=False, suspect=False) == "worker-1"
    assert workers().choose(seats, alone=False, suspect=True) == "worker-0"
    seats = [Seat("worker-0", 0), Seat("worker-0", 0), Seat("worker-1", 0)]
    assert workers().choose(seats, alone=False, suspect=True) == "worker-1"
    assert workers(ready=("quarantine",)).choose([], alone=False, suspect=True) is None


def test_a_stream_waits_for_a_worker_that_comes_up_with_fewer():
    half = workers(ready=("worker-0",), coming_up=("worker-1",))
    assert half.choose([], alone=False, suspect=False) == "worker-0"
    assert half.choose([Seat("worker-0", 0)], alone=False, suspect=False) is None
    gone = workers(ready=("worker-0",))
    assert gone.choose([Seat("worker-0", 0)], alone=False, suspect=False) == "worker-0"


def test_the_quarantine_worker_takes_one_at_a_time():
    assert workers().choose([Seat("worker-0", 1)], alone=True, suspect=True) == "quarantine"
    assert workers().choose([Seat("quarantine", 1)], alone=True, suspect=True) is None
    assert workers(occupied=True).choose([], alone=True, suspect=True) is None
    assert workers(ready=("worker-0",)).choose([], alone=True, suspect=True) is None


def test_who_is_the_only_suspect_must_run_alone():
    one = Suspicion()
    accuse([one])
    assert one.alone
    one = Suspicion()
    accuse([one], others=1)
    assert (one.alone, one.strikes) == (False, 1)


def test_who_was_suspected_more_often_than_all_others_must_run_alone():
    suspected = [Suspicion(), Suspicion(1), Suspicion()]
    accuse(suspected)
    assert [one.alone for one in suspected] == [False, True, False]
    suspected = [Suspicion(1), Suspicion(1)]
    accuse(suspected)
    assert not any(one.alone for one in suspected)
