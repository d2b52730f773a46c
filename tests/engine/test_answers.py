import numpy as np
import pytest
from engine_builders import request

from server.engine.answers import Timing, answer
from server.engine.batcher import Request
from server.wire.messages import Infer
from server.wire.slots import Segments

OUTPUTS = {
    "boxes": np.arange(16, dtype=np.float32).reshape(1, 4, 4),
    "scores": np.array([[0.9, 0.5, 0.2, 0.0]], np.float32),
    "class_ids": np.array([[7, 8, 9, 0]]),
}


def asking(least):
    plain = request("cam").ask
    return Request(b"w", Infer(plain.stream, plain.seq, plain.model, plain.frame, plain.priority, least=least), 0.0)


@pytest.mark.parametrize(("least", "rows"), [(None, 4), (0.0, 4), (0.2, 3), (0.3, 2), (0.95, 0)])
def test_of_a_detector_only_rows_that_count_are_sent(least, rows):
    answered = answer(asking(least), OUTPUTS, 0, Timing(1.0, 0.1, 1), Segments())
    assert [meta.shape for meta in answered.done.outputs] == [(rows, 4), (rows,), (rows,)]
    expected = [value[0][:rows].tobytes() for value in OUTPUTS.values()]
    assert list(answered.payload) == [b"".join(expected)]


def test_a_score_that_is_no_number_keeps_none_behind_it_from_being_sent():
    outputs = OUTPUTS | {"scores": np.array([[np.nan, 0.9, 0.5, 0.0]], np.float32)}
    answered = answer(asking(0.4), outputs, 0, Timing(1.0, 0.1, 1), Segments())
    assert [meta.shape for meta in answered.done.outputs] == [(3, 4), (3,), (3,)]
