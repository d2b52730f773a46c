import numpy as np
import pytest

from server.analytics.motion import boxes_of


def mask(*rectangles: tuple[int, int, int, int], width: int = 384, height: int = 216) -> np.ndarray:
    """Black, with rectangles x1 y1 x2 y2 of foreground."""
    picture = np.zeros((height, width), np.uint8)
    for x1, y1, x2, y2 in rectangles:
        picture[y1:y2, x1:x2] = 255
    return picture


def test_nothing_moves_in_a_black_mask() -> None:
    assert len(boxes_of(mask(), width=384, height=216)) == 0


def test_each_part_is_a_box_and_the_best_comes_first() -> None:
    small, large = (10, 20, 20, 30), (100, 50, 160, 90)
    moving = boxes_of(mask(small, large), width=384, height=216)
    assert moving.xyxy.tolist() == [list(large), list(small)]
    assert moving.class_ids.tolist() == [0, 0]
    assert moving.scores[0] > 0.99
    assert moving.scores[1] == pytest.approx(1 - np.exp(-100 / 80))


def test_boxes_are_in_pixels_of_the_models_input() -> None:
    moving = boxes_of(mask((10, 20, 30, 40), width=192, height=108), width=384, height=216)
    assert moving.xyxy.tolist() == [[20, 40, 60, 80]]


def test_specks_are_dropped() -> None:
    assert len(boxes_of(mask((10, 10, 15, 15), (200, 100, 206, 106)), width=384, height=216)) == 0


def test_parts_one_above_the_other_are_one() -> None:
    moving = boxes_of(mask((100, 50, 112, 62), (101, 65, 111, 80)), width=384, height=216)
    assert moving.xyxy.tolist() == [[100, 50, 112, 80]]


def test_parts_join_in_a_chain() -> None:
    moving = boxes_of(mask((100, 50, 110, 60), (100, 63, 110, 73), (100, 76, 110, 86)), width=384, height=216)
    assert moving.xyxy.tolist() == [[100, 50, 110, 86]]


@pytest.mark.parametrize("other", [(120, 50, 130, 80), (111, 78, 121, 100)], ids=["apart", "only_corners_near"])
def test_who_stands_apart_is_another(other: tuple[int, int, int, int]) -> None:
    assert len(boxes_of(mask((100, 50, 110, 80), other), width=384, height=216)) == 2


def test_a_ragged_part_scores_lower_than_a_solid_one() -> None:
    solid = boxes_of(mask((100, 50, 130, 80)), width=384, height=216)
    ragged = boxes_of(mask((100, 50, 130, 54), (100, 50, 104, 80)), width=384, height=216)
    assert ragged.xyxy.tolist() == solid.xyxy.tolist()
    assert ragged.scores[0] < 0.3 < solid.scores[0]


def test_three_hundred_are_enough() -> None:
    grid = [(x, y, x + 7, y + 7) for x in range(0, 370, 15) for y in range(0, 205, 15)]
    assert len(grid) > 300
    assert len(boxes_of(mask(*grid), width=384, height=216)) == 300


def test_what_is_too_small_to_count_changes_nothing() -> None:
    random = np.random.default_rng(5)
    for _ in range(50):
        corners = np.stack([random.integers(2, 300, 9), random.integers(2, 150, 9)], axis=1)
        sizes = random.integers(2, 60, (9, 2))
        parts = mask(*np.concatenate([corners, corners + sizes], axis=1).tolist())
        with_speck = parts.copy()
        with_speck[0, 0] = with_speck[-1, -1] = 255
        found, again = (boxes_of(one, width=384, height=216) for one in (parts, with_speck))
        assert found.xyxy.tolist() == again.xyxy.tolist()
        assert found.scores.tolist() == again.scores.tolist()
