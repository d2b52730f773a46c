import numpy as np
import pytest

from model_export.manifest import State
from server.engine.state import StateRows

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
    rows = StateRows(STATES).gather(["a"], 1)
    assert rows["mean_in"].tolist() == [[[-1, -1], [-1, -1]]]
    assert rows["age_in"].tolist() == [0]


def test_each_stream_gets_back_its_own_rows_and_padding_the_initial_ones():
    rows = StateRows(STATES)
    given = outputs(5, 7)
    rows.scatter(["a", "b"], given)
    assert list(given) == ["answer"]
    gathered = rows.gather(["b", "new", "a"], 4)
    assert gathered["age_in"].tolist() == [7, 0, 5, 0]
    assert gathered["mean_in"][:, 0, 0].tolist() == [7, -1, 5, -1]


def test_a_row_on_its_own_is_not_copied():
    rows = StateRows(STATES)
    given = outputs(5)
    mean = given["mean_out"]
    rows.scatter(["a"], given)
    assert np.shares_memory(rows.gather(["a"], 1)["mean_in"], mean)


def test_one_streams_row_does_not_keep_the_whole_batch():
    rows = StateRows(STATES)
    given = outputs(*range(8))
    mean = given["mean_out"]
    rows.scatter([str(n) for n in range(8)], given)
    assert not np.shares_memory(rows.gather(["3"], 1)["mean_in"], mean)


def test_forgotten_streams_begin_anew():
    rows = StateRows(STATES)
    rows.scatter(["a"], outputs(5))
    rows.reset("a")
    rows.reset("nobody")
    assert len(rows) == 0
    assert rows.gather(["a"], 1)["age_in"].tolist() == [0]


def test_saved_rows_put_into_another_engine_are_the_same():
    rows, other = StateRows(STATES), StateRows(STATES)
    rows.scatter(["a"], outputs(5))
    other.put("a", rows.get("a"))
    assert {k: v.tolist() for k, v in other.gather(["a"], 1).items()} == {
        k: v.tolist() for k, v in rows.gather(["a"], 1).items()
    }
    assert rows.get("nobody") is None


@pytest.mark.parametrize("buffers", [[b""], [b"", b""], [bytes(16), bytes(7)]])
def test_rows_of_another_size_are_refused(buffers):
    with pytest.raises(ValueError, match=r"expected|buffers"):
        StateRows(STATES).put("a", buffers)
