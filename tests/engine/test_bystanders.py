import pytest

from server.engine.tuning.bystanders import Bystanders


class Machine:
    """Ten seconds in which all processes together and this one had the processor for so long."""

    def __init__(self, all_s, own_s):
        self.busy, self.own, self.now = iter([1000.0, 1000.0 + all_s]), iter([5.0, 5.0 + own_s]), iter([0.0, 10.0])

    def share(self, cores, machine_cores):
        return Bystanders(
            cores,
            machine_cores,
            busy_s=lambda: next(self.busy),
            own_s=lambda: next(self.own),
            clock=lambda: next(self.now),
        ).share


@pytest.mark.parametrize(
    ("all_s", "own_s", "cores", "machine_cores", "share"),
    [
        (20.0, 20.0, 2, 2, 0.0),
        (20.0, 15.0, 2, 2, 0.25),
        (15.0, 15.0, 2, 2, 0.0),
        (60.0, 20.0, 2, 8, 0.0),
        (80.0, 20.0, 2, 8, 0.0),
        (80.0, 15.0, 2, 8, 0.25),
        (10.0, 11.0, 2, 2, 0.0),
    ],
    ids=[
        "alone",
        "a quarter lost",
        "not all used",
        "others elsewhere",
        "others on all the rest",
        "others here",
        "ticks",
    ],
)
def test_what_others_took_of_the_cores_at_hand(all_s, own_s, cores, machine_cores, share):
    assert Machine(all_s, own_s).share(cores, machine_cores) == pytest.approx(share)


def test_a_system_that_does_not_say_counts_as_quiet():
    assert Bystanders(2, 2, busy_s=lambda: None).share == 0.0
