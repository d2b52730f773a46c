"""What a variant of a model is allowed to answer otherwise."""

import numpy as np
import pytest
from model_builders import found

from model_export.agreement import Tolerance, disagreement
from model_export.leeway import leeway, too_far

TWO = found((0, 0.501, 0), (300, 0.5, 60), (0, 0.0, 0), (0, 0.0, 0))


def test_detections_that_change_places_are_not_far_from_each_other() -> None:
    swapped = found((300, 0.5005, 60), (0, 0.5, 0), (0, 0.0, 0), (0, 0.0, 0))
    allowed = leeway(TWO, swapped)

    assert allowed == Tolerance(absolute=0.0115, relative=0.0, share=0.001, pixels=1.0, weakest=0.05)
    assert too_far(TWO, swapped, allowed) is None


def test_nonsense_is_not_within_what_a_good_variant_needs() -> None:
    allowed = leeway(TWO, found((301, 0.52, 60), (0.5, 0.5, 0), (0, 0.0, 0), (0, 0.0, 0)))

    assert (allowed.absolute, allowed.pixels) == (0.04, 2.5)
    for nonsense in (
        found((77, 0.9, 0), (5, 0.8, 60), (0, 0.0, 0), (0, 0.0, 0)),
        found(*[(0, 0.0, 0)] * 4),
        found((0, 0.501, 60), (300, 0.5, 0), (0, 0.0, 0), (0, 0.0, 0)),
        found((0, 0.501, 0), (300, 0.5, 60), (150, 0.4, 7), (0, 0.0, 0)),
    ):
        assert disagreement(TWO, nonsense, allowed) is not None


def test_of_many_candidates_for_one_object_each_is_measured_against_its_own() -> None:
    """Their boxes are so near that by overlap alone another would be the nearest."""
    crowd = found((10.0, 0.9, 1), (10.4, 0.3, 1), (0, 0.0, 0))
    moved = found((10.4, 0.88, 1), (10.1, 0.31, 1), (0, 0.0, 0))

    allowed = leeway(crowd, moved)

    assert allowed.absolute == pytest.approx(1.5 * 0.02 + 0.01, abs=1e-3)
    assert allowed.pixels == pytest.approx(1.5 * 0.4 + 1, abs=0.01)
    assert too_far(crowd, moved, allowed) is None


def test_what_only_one_of_them_finds_says_how_weak_a_detection_may_be_to_be_compared() -> None:
    turned = found((0, 0.501, 0), (300, 0.1, 60), (300, 0.08, 61), (0, 0.0, 0))
    other = found((0, 0.501, 0), (300, 0.1, 61), (300, 0.08, 62), (0, 0.0, 0))

    allowed = leeway(turned, other)

    assert allowed.weakest == pytest.approx(0.15)
    assert too_far(turned, other, allowed) is None


def test_a_variant_that_finds_nothing_of_it_is_too_far() -> None:
    elsewhere = found((100, 0.501, 0), (200, 0.5, 60), (0, 0.0, 0), (0, 0.0, 0))

    said = too_far(TWO, elsewhere, leeway(TWO, elsewhere))

    assert said == "what the model finds in the golden samples it does not find, or finds elsewhere"


def test_pixels_of_a_mask_count_as_a_share_and_numbers_beside_them_as_numbers() -> None:
    own = {"mask": np.zeros((1, 100, 100), np.uint8), "score": np.array([0.5], np.float32)}
    other = {"mask": own["mask"].copy(), "score": np.array([0.52], np.float32)}
    other["mask"][0, :2] = 7

    allowed = leeway(own, other)

    assert (allowed.share, allowed.absolute) == (0.031, 0.04)
    assert too_far(own, other, allowed) is None
    other["mask"][0, :4] = 7
    assert disagreement(own, other, allowed) == "output 'mask' differs in 4.00% of its elements"


def test_a_number_that_is_none_is_too_far() -> None:
    own, broken = {"y": np.array([1, 2], np.float32)}, {"y": np.array([1, np.nan], np.float32)}

    allowed = leeway(own, broken)

    assert allowed.absolute == 0.01
    assert "nan instead of 2" in (too_far(own, broken, allowed) or "")
