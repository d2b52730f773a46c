import asyncio
import itertools

import pytest

from server.core.errors import SequenceInvalid, TooManyRequests
from server.domain.inference import Step
from server.runtime.tensors.sequences import Sequences

START = Step(1, start=True)


def begun(limit=9):
    numbers = itertools.count(1)
    return Sequences(limit, 10.0, lambda: f"s{next(numbers)}")


def test_a_sequence_begins_with_its_first_request_and_goes_on():
    sequences = begun()
    first = sequences.find("net", START, 0.0)
    assert sequences.find("net", Step(1), 1.0) is first
    assert sequences.find("net", START, 2.0) is first


def test_ids_are_each_models_own_and_a_number_is_not_a_text():
    sequences = begun()
    found = [sequences.find(net, Step(id, start=True), 0.0) for net in ("a", "b") for id in (1, "1")]
    assert len({one.stream for one in found}) == 4


def test_what_has_not_begun_or_is_over_is_not_known():
    sequences = begun()
    with pytest.raises(SequenceInvalid):
        sequences.find("net", Step(1), 0.0)
    one = sequences.find("net", START, 0.0)
    assert sequences.end(one)
    assert not sequences.end(one)
    with pytest.raises(SequenceInvalid):
        sequences.find("net", Step(1), 0.0)


def test_there_are_only_so_many():
    sequences = begun(limit=1)
    one = sequences.find("net", START, 0.0)
    with pytest.raises(TooManyRequests):
        sequences.find("net", Step(2, start=True), 0.0)
    sequences.end(one)
    assert sequences.find("net", Step(2, start=True), 0.0)


def test_those_are_idle_that_nobody_uses_for_long_enough():
    async def check():
        sequences = begun()
        idle = sequences.find("net", START, 0.0)
        used = sequences.find("net", Step(2, start=True), 5.0)
        running = sequences.find("net", Step(3, start=True), 0.0)
        async with running.turn:
            assert sequences.idle(10.5) == [idle]
        assert sequences.idle(10.0) == []
        assert sequences.idle(15.5) == [idle, used, running]

    asyncio.run(check())


def test_those_of_a_model_are_found():
    sequences = begun()
    one = sequences.find("net", START, 0.0)
    sequences.find("other", START, 0.0)
    one.model = "net@1"
    assert sequences.of("net@1") == [one]
    assert len(sequences.of()) == 2
