from engine_builders import key
from hypothesis import given
from hypothesis import strategies as st

from server.engine.order import InOrder


def test_a_quicker_answer_waits_for_the_one_before_it():
    order = InOrder()
    for seq in (1, 2, 3):
        order.expect(key("a"), seq)
    assert order.done(key("a"), 2, "two") == []
    assert order.done(key("a"), 1, "one") == ["one", "two"]
    assert order.done(key("a"), 3, "three") == ["three"]
    assert not order.due(key("a"))


def test_answers_behind_a_dropped_request_leave():
    order = InOrder()
    for seq in (1, 2):
        order.expect(key("a"), seq)
    assert order.done(key("a"), 2, "two") == []
    assert order.drop(key("a"), {1}) == ["two"]
    assert order.drop(key("nobody"), {1}) == []


@given(st.permutations([(name, seq) for name in "ab" for seq in range(6)]))
def test_every_stream_is_answered_in_order_and_whole(finished):
    order, left = InOrder(), []
    for name in "ab":
        for seq in range(6):
            order.expect(key(name), seq)
    for name, seq in finished:
        left += order.done(key(name), seq, (name, seq))
    assert [one for one in left if one[0] == "a"] == [("a", seq) for seq in range(6)]
    assert [one for one in left if one[0] == "b"] == [("b", seq) for seq in range(6)]
