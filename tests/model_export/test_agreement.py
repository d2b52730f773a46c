import re

import numpy as np
import pytest
from model_builders import found

from model_export.agreement import ROUNDING, Tolerance, disagreement
from model_export.manifest import Precision

Arrays = dict[str, np.ndarray]


FOUR = found((0, 0.9, 1), (50, 0.5, 2), (90, 0.4, 0), (0, 0.0, 0), (0, 0.0, 0))


def test_an_answer_agrees_with_itself() -> None:
    assert disagreement(FOUR, FOUR, Tolerance(0, 0, 0)) is None


def test_candidates_of_equal_score_may_change_places() -> None:
    one = found((0, 0.5, 1), (50, 0.5, 2), (0, 0.0, 0))
    other = found((50, 0.50001, 2), (0, 0.5, 1), (0, 0.0, 0))

    assert disagreement(one, other, Tolerance()) is None


def test_padding_is_not_compared() -> None:
    assert (
        disagreement(FOUR, found((0, 0.9, 1), (50, 0.5, 2), (90, 0.4, 0), (77, 0.0, 3), (0, 0, 0)), Tolerance()) is None
    )


def test_the_weakest_may_have_lost_its_place_where_candidates_are_cut_off() -> None:
    one, other = found((0, 0.9, 1), (50, 0.1, 2)), found((0, 0.9, 1), (70, 0.1, 2))

    assert disagreement(one, other, Tolerance()) is None


def test_of_two_partners_the_nearest_is_taken() -> None:
    """Taken in the order in which they stand, the second would be left with none."""
    one = found((90, 0.5, 0), (10, 0.5, 1), (10.4, 0.5, 1), (0, 0, 0))
    other = found((10.3, 0.5, 1), (90, 0.5, 0), (9.9, 0.5, 1), (0, 0, 0))

    assert disagreement(one, other, Tolerance(pixels=0.45)) is None


def test_what_is_weaker_than_rounding_is_no_detection() -> None:
    one, other = found((0, 0.9, 1), (50, 9e-4, 2), (70, 8e-7, 0)), found((0, 0.9, 1), (60, 5e-4, 2), (75, 8e-7, 0))

    assert disagreement(one, other, ROUNDING[Precision.FP32]) is None
    assert disagreement(one, other, Tolerance()) is not None


def test_of_half_precision_a_pixel_and_what_is_weak_do_not_count() -> None:
    one, other = found((0, 0.9, 1), (50, 0.04, 2), (90, 0.0, 0)), found((0.9, 0.895, 1), (70, 0.03, 1), (90, 0.0, 0))

    assert disagreement(one, other, ROUNDING[Precision.FP16]) is None
    assert disagreement(one, other, ROUNDING[Precision.FP32]) is not None
    assert disagreement(one, found((1.2, 0.9, 1), (50, 0.04, 2), (90, 0.0, 0)), ROUNDING[Precision.FP16]) is not None


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            found((0, 0.9, 1), (52, 0.5, 2), (90, 0.4, 0), (0, 0, 0), (0, 0, 0)),
            r"lacks class 2 .*nearest is class 2 .* 2 px and 0 in score apart",
        ),
        (
            found((0, 0.9, 1), (50, 0.7, 2), (90, 0.4, 0), (0, 0, 0), (0, 0, 0)),
            "lacks class 2 with score 0.5.* 0.2 in score",
        ),
        (found((0, 0.9, 1), (50, 0.5, 7), (90, 0.4, 0), (0, 0, 0), (0, 0, 0)), "lacks class 2"),
        (found((0, 0.9, 1), (50, 0.5, 2), (0, 0, 0), (0, 0, 0), (0, 0, 0)), "lacks class 0"),
        (found((0, 0.9, 1), (50, 0.5, 2), (90, 0.4, 0), (7, 0.3, 0), (0, 0, 0)), "adds class 0 with score 0.3"),
    ],
    ids=["moved", "other score", "other class", "one too few", "one too many"],
)
def test_a_candidate_without_a_partner_is_named(answer: Arrays, message: str) -> None:
    clause = disagreement(FOUR, answer, Tolerance())

    assert clause is not None
    assert re.search(message, clause), clause


def test_shapes_are_compared_first() -> None:
    clause = disagreement({"y": np.zeros((3, 4, 5))}, {"y": np.zeros((1, 12, 5))}, Tolerance())

    assert clause == "output 'y' has shape [1, 12, 5] instead of [3, 4, 5]"


def test_a_missing_output_is_named() -> None:
    assert disagreement({"y": np.zeros(1)}, {}, Tolerance()) == "output 'y' is missing"


def test_types_are_compared() -> None:
    assert disagreement({"y": np.zeros(1, np.int64)}, {"y": np.zeros(1)}, Tolerance()) == (
        "output 'y' is float64 instead of int64"
    )


def test_a_few_pixels_of_a_mask_may_differ() -> None:
    mask = np.zeros((1, 100, 100), np.uint8)
    nearly, other = mask.copy(), mask.copy()
    nearly[0, 0, :10] = 255
    other[0, 0, :11] = 255

    assert disagreement({"m": mask}, {"m": nearly}, Tolerance()) is None
    assert disagreement({"m": mask}, {"m": other}, Tolerance()) == "output 'm' differs in 0.11% of its elements"


def test_a_number_that_is_none_agrees_with_none() -> None:
    none, one = {"y": np.array([np.nan, np.inf])}, {"y": np.array([1.0, np.inf])}

    assert disagreement(none, none, Tolerance()) is None
    assert disagreement(none, one, Tolerance()) == "output 'y' differs by nan at [0]: 1 instead of nan"
    assert disagreement({"y": np.array([np.inf])}, {"y": np.array([1.0])}, Tolerance()) is not None
