import pytest
from engine_builders import key, request
from hypothesis import given
from hypothesis import strategies as st

from server.engine.batcher import NOT_URGENT, Batcher, Policy

CPU = Policy((1, 2, 4, 8))
WAITING = Policy((1, 2, 4, 8), max_delay_s=0.01, pad=True)
RECURRENT = Policy((1, 2, 4, 8), one_each=True)


def filled(policy, *requests):
    batcher = Batcher(policy)
    for one in requests:
        batcher.add(one)
    return batcher


def streams(batch):
    return [one.ask.stream for one in batch.requests]


def test_an_idle_session_takes_at_once_what_is_there():
    batch = filled(CPU, request("a")).take(0.0, idle=1)
    assert (streams(batch), batch.size, batch.closed) == (["a"], 1, "idle")


def test_what_waits_is_divided_among_idle_sessions():
    batcher = filled(CPU, *[request("a") for _ in range(8)])
    assert [len(batcher.take(0.0, idle).requests) for idle in (2, 1)] == [4, 4]


def test_live_goes_before_jobs():
    batcher = filled(CPU, request("job"), request("job"), request("cam", live=True))
    assert streams(batcher.take(0.0, idle=3)) == ["cam"]


def test_the_earliest_deadline_goes_first_among_live_streams():
    batcher = filled(
        CPU,
        request("late", live=True, deadline=9),
        request("soon", live=True, deadline=1),
        request("none", live=True, at=9),
    )
    assert [streams(batcher.take(0.0, idle=9))[0] for _ in range(3)] == ["soon", "late", "none"]


def test_live_without_a_deadline_is_not_kept_waiting_by_those_with_one_for_ever():
    batcher = filled(Policy((1,)), request("none", live=True, at=1.0))
    order = []
    for number in range(10):
        batcher.add(request("cam", live=True, at=1.0 + number / 10, deadline=1.1 + number / 10))
        order += streams(batcher.take(1.0 + number / 10, idle=1))
    assert order.index("none") == 2


def test_a_stream_with_many_waiting_does_not_push_out_one_with_one():
    batcher = filled(CPU, *[request("greedy") for _ in range(20)], request("modest"))
    assert sorted(set(streams(batcher.take(0.0, idle=1)))) == ["greedy", "modest"]


def test_streams_take_turns_from_batch_to_batch():
    batcher = filled(Policy((1,)), *[request(name) for name in "aaabbbccc"])
    assert [streams(batcher.take(0.0, 1))[0] for _ in range(9)] == list("abcabcabc")


def test_who_comes_and_goes_does_not_get_before_who_stays():
    batcher = filled(Policy((1,)), *[request("stays") for _ in range(9)])
    order = []
    for number in range(8):
        batcher.add(request(f"guest {number}"))
        taken = batcher.take(0.0, 1)
        order += streams(taken)
        batcher.finish(taken.requests[0])
    assert order.count("stays") >= 3


def test_two_peers_may_choose_the_same_name_for_a_stream():
    batcher = filled(RECURRENT, request("a", 1), request("a", 1, peer=b"other"))
    assert len(batcher.take(0.0, idle=1).requests) == 2


def test_a_full_batch_is_not_divided_where_large_ones_pay():
    batch = filled(WAITING, *[request("a") for _ in range(8)]).take(0.0, idle=2)
    assert (batch.size, batch.closed) == (8, "full")


def test_a_deadline_makes_a_model_more_urgent_than_an_earlier_request_without():
    patient, pressed = (
        filled(CPU, request("a", live=True, at=1)),
        filled(CPU, request("b", live=True, at=1.1, deadline=1.2)),
    )
    assert pressed.urgency() < patient.urgency() < filled(CPU, request("job", at=0)).urgency()
    assert Batcher(CPU).urgency() == NOT_URGENT


def test_a_recurrent_stream_has_one_request_in_flight():
    batcher = filled(RECURRENT, request("a", 1), request("a", 2), request("b", 1))
    first = batcher.take(0.0, idle=1)
    assert sorted(streams(first)) == ["a", "b"]
    assert batcher.take(0.0, idle=1) is None
    for one in first.requests:
        batcher.finish(one)
    assert streams(batcher.take(0.0, idle=1)) == ["a"]


def test_where_waiting_pays_a_batch_closes_when_full_or_when_the_oldest_has_waited():
    batcher = filled(WAITING, request("a", at=1.0))
    assert batcher.take(1.005, 1) is None
    assert batcher.wake_at() == pytest.approx(1.01)
    batch = batcher.take(1.011, 1)
    assert batch.closed == "timeout"
    full = filled(WAITING, *[request("a", at=1.0) for _ in range(8)]).take(1.0, 1)
    assert (full.closed, full.size) == ("full", 8)


def test_a_new_shape_is_padded_where_it_is_dear_and_cut_where_it_is_not():
    three = [request(name) for name in "abc"]
    assert filled(WAITING, *three).take(1.0, 1).size == 4
    cut = filled(CPU, *three).take(1.0, 1)
    assert (cut.size, len(cut.requests)) == (2, 2)


def test_a_fixed_batch_is_padded():
    batch = filled(Policy((4,), pad=True), request("a")).take(0.0, 1)
    assert (batch.size, len(batch.requests)) == (4, 1)


def test_places_of_a_fixed_batch_are_not_padded_while_somebody_waits():
    batcher = filled(Policy((4,), pad=True), *[request(name) for name in "aabbcc"])
    assert [sorted(streams(batcher.take(0.0, idle))) for idle in (2, 1)] == [list("aabc"), list("bc")]


def test_what_is_past_its_deadline_leaves_and_the_rest_stays():
    batcher = filled(CPU, request("a", 1, live=True, deadline=1), request("a", 2, live=True, deadline=3), request("b"))
    assert [one.ask.seq for one in batcher.expire(2.0)] == [1]
    assert len(batcher) == 2


def test_a_cancelled_stream_leaves_and_what_runs_of_it_is_finished():
    batcher = filled(Policy((1,)), request("a", 1), request("a", 2), request("b", 1))
    running = batcher.take(0.0, 1).requests[0]
    assert [one.ask.seq for one in batcher.cancel(key("a"))] == [2]
    assert batcher.running(key("a")) == 1
    batcher.finish(running)
    assert batcher.running(key("a")) == 0
    assert batcher.cancel(key("nobody")) == []
    assert len(batcher) == 1


steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from("abcd"), st.booleans()),
        st.tuples(st.just("take"), st.integers(1, 3), st.none()),
        st.tuples(st.just("finish"), st.none(), st.none()),
        st.tuples(st.just("cancel"), st.sampled_from("abcd"), st.none()),
    ),
    max_size=80,
)


@given(steps, st.sampled_from([CPU, WAITING, RECURRENT, Policy((1,)), Policy((4,), pad=True)]))
def test_nothing_is_lost_or_run_twice_and_a_stream_runs_in_order(actions, policy):
    batcher, running, seen, added, dropped, seq = Batcher(policy), [], [], [], [], 0
    live_streams = {}

    def record(batch):
        assert 1 <= len(batch.requests) <= batch.size
        assert batch.size in policy.sizes
        if policy.one_each:
            names = streams(batch)
            assert len(set(names)) == len(names)
            assert not set(names) & {one.ask.stream for one in running}
        seen.extend(batch.requests)
        running.extend(batch.requests)

    for now, (action, first, second) in enumerate(actions):
        if action == "add":
            seq += 1
            # a stream is live or a job's, never both
            one = request(first, seq, live=live_streams.setdefault(first, second), at=float(now))
            added.append(one)
            batcher.add(one)
        elif action == "take":
            batch = batcher.take(float(now) + 1, first)
            if batch is not None:
                record(batch)
        elif action == "finish" and running:
            batcher.finish(running.pop(0))
        elif action == "cancel":
            dropped += batcher.cancel(key(first))
        assert len(batcher) == len(added) - len(seen) - len(dropped)
    while len(batcher):
        while running:
            batcher.finish(running.pop())
        record(batcher.take(1e9, 1))
    assert {id(one) for one in seen} | {id(one) for one in dropped} == {id(one) for one in added}
    assert len(seen) + len(dropped) == len(added)
    for name in "abcd":
        order = [one.ask.seq for one in seen if one.ask.stream == name]
        assert order == sorted(order)


@given(st.integers(2, 6), st.integers(1, 8))
def test_no_stream_gets_two_places_more_than_another_while_both_wait(count, size):
    batcher = Batcher(Policy((size,), pad=True))
    served = dict.fromkeys(range(count), 0)
    for name in served:
        for _ in range(50):
            batcher.add(request(str(name)))
    for _ in range(20):
        for one in batcher.take(0.0, 1).requests:
            served[int(one.ask.stream)] += 1
            batcher.finish(one)
        if max(served.values()) >= 40:
            break
        assert max(served.values()) - min(served.values()) <= 1


def block(stream, rows, kind=None, **options):
    return request(stream, rows=rows, kind=kind, **options)


def test_blocks_fill_a_batch_together_with_frames():
    batch = filled(CPU, block("a", 4), request("b"), block("c", 2), request("d")).take(0.0, idle=1)
    assert (sorted(streams(batch)), batch.size, batch.rows) == (["a", "b", "c", "d"], 8, 8)


def test_a_block_is_not_cut_even_where_sessions_would_share():
    batcher = filled(CPU, block("a", 4), request("b"))
    first = batcher.take(0.0, idle=2)
    assert (streams(first), first.size) == (["a"], 4)
    assert streams(batcher.take(0.0, idle=1)) == ["b"]


def test_a_block_that_does_not_fit_waits_and_a_smaller_one_takes_the_place():
    batcher = filled(CPU, block("a", 4), block("b", 4), block("c", 4), request("d"))
    assert streams(batcher.take(0.0, idle=1)) == ["a", "b"]
    batcher = filled(Policy((1, 2, 4)), block("a", 2), block("b", 4), request("c"), request("d"))
    assert streams(batcher.take(0.0, idle=1)) == ["a", "c", "d"]
    assert streams(batcher.take(0.0, idle=1)) == ["b"]


def test_a_block_between_two_sizes_is_padded():
    batch = filled(CPU, block("a", 3)).take(0.0, idle=1)
    assert (batch.size, batch.rows) == (4, 3)


def test_only_blocks_of_a_kind_share_a_run():
    batcher = filled(CPU, block("a", 1, "small"), block("b", 1, "large"), block("c", 2, "small"), request("d"))
    assert [sorted(streams(batcher.take(0.0, idle=1))) for _ in range(3)] == [["a", "c"], ["b"], ["d"]]
    assert len(batcher) == 0


def test_rows_that_are_cancelled_or_too_late_do_not_count():
    batcher = filled(CPU, block("a", 4), block("b", 4, deadline=1.0), request("c"))
    batcher.cancel(key("a"))
    batcher.expire(2.0)
    batch = batcher.take(2.0, idle=1)
    assert (streams(batch), batch.size) == (["c"], 1)


@given(
    asked=st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from([1, 2, 3, 4]), st.sampled_from("xy")), max_size=30
    ),
    idle=st.integers(1, 3),
)
def test_whatever_is_asked_every_row_runs_once_and_no_batch_is_too_small(asked, idle):
    waiting = [block(name, rows, kind) for name, rows, kind in asked]
    batcher = filled(Policy((1, 2, 4)), *waiting)
    ran = []
    while (batch := batcher.take(0.0, idle)) is not None:
        assert batch.rows <= batch.size
        assert len({one.kind for one in batch.requests}) == 1
        ran += batch.requests
    assert sorted(map(id, ran)) == sorted(map(id, waiting))
    for name in "abc":
        assert [id(r) for r in ran if r.ask.stream == name] == [id(r) for r in waiting if r.ask.stream == name]


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_at_the_moment_at_which_it_wants_to_be_asked_a_batch_is_due(arrived, later):
    batcher = filled(WAITING, request("a", at=arrived))
    assert batcher.take(batcher.wake_at(), 1) is not None
    batcher = filled(CPU, request("a", at=arrived, deadline=later))
    assert batcher.expire(batcher.wake_at())
