import numpy as np
import pytest
from engine_builders import key

from model_export.manifest import State
from server.engine.state import StateRefused, StateRows

STATES = (
    State(input="mean_in", output="mean_out", dtype="float32", shape=(2, 2), initial=-1.0),
    State(input="age_in", output="age_out", dtype="int64", shape=()),
)


def outputs(*values):
    return {
        "mean_out": np.stack([np.full((2, 2), value, np.float32) for value in values]),
        "age_out": np.array(values, np.int64),
        "answer": np.array(values),
    }


def test_a_new_stream_starts_from_the_initial_value():
    rows = StateRows(STATES).gather([key("a")], 1)
    assert rows["mean_in"].tolist() == [[[-1, -1], [-1, -1]]]
    assert rows["age_in"].tolist() == [0]


def test_each_stream_gets_back_its_own_rows_and_padding_the_initial_ones():
    rows = StateRows(STATES)
    given = outputs(5, 7)
    rows.scatter([key("a"), key("b")], given)
    assert list(given) == ["answer"]
    gathered = rows.gather([key("b"), key("new"), key("a")], 4)
    assert gathered["age_in"].tolist() == [7, 0, 5, 0]
    assert gathered["mean_in"][:, 0, 0].tolist() == [7, -1, 5, -1]


def test_a_row_on_its_own_is_not_copied():
    rows = StateRows(STATES)
    given = outputs(5)
    mean = given["mean_out"]
    rows.scatter([key("a")], given)
    assert np.shares_memory(rows.gather([key("a")], 1)["mean_in"], mean)


def test_one_streams_row_does_not_keep_the_whole_batch():
    rows = StateRows(STATES)
    given = outputs(*range(8))
    mean = given["mean_out"]
    rows.scatter([key(str(n)) for n in range(8)], given)
    assert not np.shares_memory(rows.gather([key("3")], 1)["mean_in"], mean)


def test_a_row_of_a_padded_batch_does_not_keep_the_padding():
    rows = StateRows(STATES)
    given = outputs(5, 0, 0, 0)
    mean = given["mean_out"]
    rows.scatter([key("a")], given)
    assert not np.shares_memory(rows.gather([key("a")], 1)["mean_in"], mean)
    assert rows.gather([key("a")], 1)["age_in"].tolist() == [5]


def test_a_stream_that_starts_over_gets_the_initial_value_although_it_has_rows():
    rows = StateRows(STATES)
    rows.scatter([key("a")], outputs(5))
    assert rows.gather([key("a")], 1, fresh={key("a")})["age_in"].tolist() == [0]
    assert key("a") in rows


def test_forgotten_streams_begin_anew():
    rows = StateRows(STATES)
    rows.scatter([key("a")], outputs(5))
    rows.reset(key("a"))
    rows.reset(key("nobody"))
    assert len(rows) == 0
    assert rows.gather([key("a")], 1)["age_in"].tolist() == [0]


def test_saved_rows_put_into_another_engine_are_the_same():
    rows, other = StateRows(STATES), StateRows(STATES)
    rows.scatter([key("a")], outputs(5))
    other.put(key("a"), rows.get(key("a")))
    assert {k: v.tolist() for k, v in other.gather([key("a")], 1).items()} == {
        k: v.tolist() for k, v in rows.gather([key("a")], 1).items()
    }
    assert rows.get(key("nobody")) is None


@pytest.mark.parametrize("buffers", [[b""], [b"", b""], [bytes(16), bytes(7)]])
def test_rows_of_another_size_are_refused(buffers):
    with pytest.raises(StateRefused):
        StateRows(STATES).put(key("a"), buffers)
