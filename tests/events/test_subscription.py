import json

from bus_builders import taken

from server.events.item import Item, Kind, Notice, OwnerKind, gap
from server.events.subscription import Subscription

CAM = (OwnerKind.STREAM, "cam")


def a_notice(number: int, size: int = 100) -> Notice:
    return Notice("error", json.dumps({"number": number, "padding": "x" * size}).encode())


def numbers(subscription: Subscription) -> list[object]:
    """What waits: the number of a notice, or what a gap says."""
    return [said.get("number", said) for said in (json.loads(one.data) for one in taken(subscription))]


def test_notices_count_with_the_bytes_that_may_wait_and_how_many_had_to_go_is_told():
    subscription = Subscription(max_items=1000, max_bytes=1000)
    for number in range(100):
        subscription.tell(a_notice(number))
    first, *rest = numbers(subscription)
    assert first == {"type": "gap", "reason": "slow", "value": 100 - len(rest)}
    assert rest == list(range(100 - len(rest), 100))
    assert 10 <= len(rest) <= 2000 // 100
    subscription.tell(a_notice(100))
    assert numbers(subscription) == [100]


def test_notices_are_bounded_in_number_too():
    subscription = Subscription(max_items=5, max_bytes=2**20)
    for number in range(100):
        subscription.tell(a_notice(number, size=0))
    assert numbers(subscription) == [{"type": "gap", "reason": "slow", "value": 90}, *range(90, 100)]


def test_notices_take_the_place_of_results_and_outlive_them():
    subscription = Subscription(max_items=1000, max_bytes=1000)
    for seq in range(5):
        subscription.offer(Item("cam", Kind.RESULT, b"x" * 100, epoch="e", seq=seq), CAM)
    for number in range(8):
        subscription.tell(a_notice(number))
    found = taken(subscription)
    assert found[0].data == gap("slow", CAM, 5).data
    assert [json.loads(one.data)["number"] for one in found[1:]] == list(range(8))


def test_what_alone_is_more_than_may_wait_is_told_as_a_gap_at_once_and_at_the_end():
    subscription = Subscription(max_items=10, max_bytes=50)
    subscription.tell(a_notice(1))
    assert numbers(subscription) == [{"type": "gap", "reason": "slow", "value": 1}]
    subscription.tell(a_notice(2))
    subscription.end()
    assert not subscription.ended
    assert numbers(subscription) == [{"type": "gap", "reason": "slow", "value": 1}]
    assert subscription.ended
