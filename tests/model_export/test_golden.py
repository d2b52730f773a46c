import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_export import golden
from model_export.agreement import Tolerance
from model_export.errors import BundleInvalid, GoldenMismatch
from model_export.manifest import State

Arrays = dict[str, np.ndarray]


def sample() -> tuple[Arrays, Arrays]:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    return {"x": values}, {"y": 2 * values, "n": values.astype(np.int64)}


def doubled(inputs: Mapping[str, Any]) -> Arrays:
    return {"y": 2 * inputs["x"], "n": inputs["x"].astype(np.int64)}


def running_sum(inputs: Mapping[str, Any]) -> Arrays:
    total = inputs["sum"] + inputs["x"]
    return {"y": total * 10, "sum_out": total}


SUM = (State(input="sum", output="sum_out", dtype="float32", shape=(2,), initial=1.0),)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    inputs, outputs = sample()
    golden.write(tmp_path / "golden.npz", inputs, outputs)

    back = golden.read(tmp_path / "golden.npz")

    assert back.inputs.keys() == {"x"}
    assert back.outputs["n"].dtype == np.int64
    assert (back.outputs["y"] == outputs["y"]).all()


def test_the_same_arrays_give_the_same_bytes_whenever_and_in_whatever_order(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, outputs = sample()
    first = golden.encode(inputs, outputs)
    monkeypatch.setattr(time, "time", lambda: 2e9)

    assert golden.encode(inputs, dict(reversed(outputs.items()))) == first


def test_the_bytes_are_the_ones_of_every_other_machine() -> None:
    content = golden.encode({"x": np.zeros((1, 2), np.uint8)}, {"y": np.ones((1,), np.float32)})

    assert hashlib.sha256(content).hexdigest() == "0bf1634cc87d69e8018adea994f75da6ceb9f82ed8dc269cff94e672b446b6a2"


def test_a_model_that_answers_as_before_passes() -> None:
    golden.check(golden.Golden(*sample()), doubled)


def test_the_message_says_which_output_differs_where_and_by_how_much() -> None:
    def worse(inputs: Mapping[str, Any]) -> Arrays:
        answer = doubled(inputs)
        answer["y"][1, 2] += 0.5
        return answer

    with pytest.raises(GoldenMismatch, match=r"output 'y' differs by 0\.5 at \[1, 2\]: 12\.5 instead of 12"):
        golden.check(golden.Golden(*sample()), worse)


def test_rounding_is_allowed_for() -> None:
    def rounded(inputs: Mapping[str, Any]) -> Arrays:
        return doubled(inputs) | {"y": 2 * inputs["x"] + np.float32(1e-4)}

    golden.check(golden.Golden(*sample()), rounded)
    with pytest.raises(GoldenMismatch):
        golden.check(golden.Golden(*sample(), Tolerance(absolute=1e-6, relative=0)), rounded)


def test_rows_of_a_model_with_state_are_frames_of_one_stream() -> None:
    steps = golden.Golden(
        {"x": np.array([[1, 2], [3, 4]], np.float32)},
        {"y": np.array([[20, 30], [50, 70]], np.float32), "sum_out": np.array([[5, 7]], np.float32)},
    )

    golden.check(steps, running_sum, state=SUM)
    with pytest.raises(GoldenMismatch, match="output 'y'"):
        golden.check(steps, running_sum, state=(SUM[0].model_copy(update={"initial": 0.0}),))


def test_state_that_is_among_the_samples_is_taken_from_there() -> None:
    one_by_one = golden.Golden(
        {"x": np.ones((2, 2), np.float32), "sum": np.array([[0, 0], [5, 5]], np.float32)},
        {"y": np.array([[10, 10], [60, 60]], np.float32)},
    )

    golden.check(one_by_one, running_sum, state=SUM)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 nonsense", b"no archive"], ids=["empty", "cut off", "text"])
def test_a_file_that_holds_no_samples_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "golden.npz"
    path.write_bytes(content)

    with pytest.raises(BundleInvalid, match=r"golden\.npz"):
        golden.read(path)


def test_pickled_objects_are_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "golden.npz"
    np.savez(path, **{"inputs/x": np.array([{}], object)})

    with pytest.raises(BundleInvalid):
        golden.read(path)


def test_arrays_without_a_side_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "golden.npz"
    np.savez(path, x=np.zeros(1))

    with pytest.raises(BundleInvalid, match="'x', which is no input and no output"):
        golden.read(path)
