import pytest

from server.worker.live.backoff import FIRST_S, MOST_S, Backoff, unwelcome_s


def test_waits_double_up_to_the_longest_and_stay_there():
    backoff = Backoff(chance=lambda: 0.0)
    waits = [backoff.next() for _ in range(100)]
    assert waits[:4] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S, 8 * FIRST_S]
    assert waits[-1] == MOST_S
    assert waits == sorted(waits)


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_chance_shortens_a_wait_by_less_than_a_third(chance):
    assert 0.7 * FIRST_S <= Backoff(chance=lambda: chance).next() <= FIRST_S


def test_how_long_a_try_took_counts_as_waited():
    backoff = Backoff(chance=lambda: 0.0)
    assert [backoff.next(tried_s=10.0) for _ in range(8)] == [FIRST_S] * 5 + [6.0, 20.0, 20.0]
    assert Backoff(first_s=0.1, most_s=0.5, chance=lambda: 1.0).next(tried_s=10.0) == pytest.approx(0.07)


def test_a_source_that_worked_for_a_while_is_tried_soon_again():
    backoff = Backoff(chance=lambda: 0.0)
    for _ in range(5):
        backoff.next(lasted_s=1.0)
    assert backoff.next(lasted_s=1.0) > FIRST_S
    assert backoff.next(lasted_s=60.0) == FIRST_S


def test_credentials_that_were_refused_are_tried_twice_and_then_every_five_to_fifteen_minutes():
    assert [unwelcome_s(times) for times in (1, 2, 3, 4, 5, 1000)] == [FIRST_S, 300, 600, 900, 900, 900]
