"""The line that says what is learnt from."""

from typing import Any

import pytest

from training.data.frame_spec import FrameSpec
from training.data.loading import DataDescription
from training.data.summary import summary


def described(counts: dict[str, int], **more: Any) -> DataDescription:
    given: dict[str, Any] = {
        "labels": tuple(counts), "kind": "class", "input": FrameSpec(width=8, height=8, frames=5),
        "samples": {"train": 43, "val": 15, "test": 14}, "counts": counts, "groups": 3, "broken": 0, "fingerprint": "",
    }  # fmt: skip
    return DataDescription(**given | more)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (
            described({"blink": 24, "left": 24, "right": 24}),
            "72 clips in 3 classes (blink 24, left 24, right 24): 43 to train, 15 to validate, 14 to test.",
        ),
        (
            described(
                {"a": 30, "b": 31}, input=FrameSpec(width=8, height=8), samples={"train": 50, "val": 9}, broken=2
            ),
            "61 pictures in 2 classes (a 30, b 31): 50 to train, 9 to validate, 2 broken.",
        ),
        (
            described({"fire": 20, "smoke": 0}, kind="multi_label"),
            "72 clips with 2 labels (fire 20, smoke 0): 43 to train, 15 to validate, 14 to test."
            " There is no sample of smoke.",
        ),
        (
            described({"Left": 1, "left": 71}),
            "72 clips in 2 classes (Left 1, left 71): 43 to train, 15 to validate, 14 to test."
            " In case alone differ Left, left.",
        ),
        (
            described({"age": 72}, kind="numbers"),
            "72 clips with 1 number each (age): 43 to train, 15 to validate, 14 to test.",
        ),
    ],
)
def test_samples_labels_and_parts_are_told(data: DataDescription, told: str) -> None:
    assert summary(data) == told


def test_of_many_labels_the_first_are_named() -> None:
    many = {str(number): 1 for number in range(72)}
    assert "72 classes (0 1, 1 1, 2 1," in summary(described(many))
    assert "11 1 and 60 more): 43 to train" in summary(described(many))
