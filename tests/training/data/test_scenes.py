import dataclasses

import numpy as np
import pytest

from training.data.scenes import Actor, KeyPoint, Light, Scene


def walker(*path: tuple[float, float, float], actor: int = 1) -> Actor:
    return Actor(actor, "person", 20, 50, (40, 60, 200), tuple(KeyPoint(*point) for point in path))


def scene(*actors: Actor, **changes: object) -> Scene:
    return dataclasses.replace(Scene(seed=1, actors=actors, fps=10.0, seconds=3.0, noise=0.0), **changes)


def frames(of: Scene) -> np.ndarray:
    return np.stack(list(of.frames())).astype(np.int16)


def test_the_same_scene_gives_the_same_frames_and_another_seed_others() -> None:
    one = scene(walker((0, 100, 200), (3, 300, 200)), noise=4.0, shake=2.0, seconds=1.0)
    assert np.array_equal(frames(one), frames(dataclasses.replace(one)))
    assert not np.array_equal(frames(one), frames(dataclasses.replace(one, seed=2)))
    assert len(frames(one)) == one.frame_count == 10


def test_an_actor_moves_between_its_key_points_and_stands_where_two_are_the_same() -> None:
    boxes = scene(walker((0.5, 100, 200), (1.5, 200, 220), (2.5, 200, 220))).truth()
    at = {box.frame: box.xyxy for box in boxes}
    assert sorted(at) == list(range(5, 26))
    assert at[5] == (90, 150, 110, 200)
    assert at[10] == (140, 160, 160, 210)
    assert at[15] == at[20] == at[25] == (190, 170, 210, 220)


def test_boxes_end_at_the_edge_of_the_picture_and_say_how_much_is_seen() -> None:
    boxes = scene(walker((0, -20, 200), (2, 20, 200))).truth()
    assert boxes[0].xyxy[0] == 0
    halfway = next(box for box in boxes if box.frame == 10)
    assert halfway.xyxy == (0, 150, 10, 200)
    assert halfway.visible == pytest.approx(0.5)
    assert all(box.xyxy[2] > 0 for box in boxes)


def test_who_is_nearer_hides_who_is_behind() -> None:
    behind, nearer = walker((0, 100, 200), (3, 100, 200), actor=2), walker((0, 110, 210), (3, 110, 210), actor=1)
    seen = {box.id: box.visible for box in scene(behind, nearer).truth() if box.frame == 0}
    assert seen[1] == 1.0
    assert seen[2] == pytest.approx(0.6, abs=0.02)


@pytest.mark.parametrize("shake", [0.0, 3.0])
def test_the_picture_shows_the_actor_where_the_truth_says(shake: float) -> None:
    there = scene(walker((0, 200, 250), (3, 400, 250)), shake=shake)
    empty = dataclasses.replace(there, actors=())
    changed = np.abs(frames(there) - frames(empty)).max(axis=3) > 12
    for box in there.truth():
        rows, columns = np.nonzero(changed[box.frame])
        shown = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert shown[1::2] == pytest.approx(box.xyxy[1::2], abs=2.5)
        assert shown[0] >= box.xyxy[0] - 2
        assert shown[2] <= box.xyxy[2] + 2
        assert shown[2] - shown[0] > 8


def test_light_changes_by_and_by_or_at_once_and_stays() -> None:
    lit = scene(light=(Light(1.0, 2.0, 0.5), Light(2.5, 2.5, 1.0, 20.0)))
    grey = frames(lit).mean(axis=(1, 2, 3))
    assert grey[:11] == pytest.approx(grey[0])
    assert grey[15] == pytest.approx(0.75 * grey[0], abs=0.5)
    assert grey[20:25] == pytest.approx(0.5 * grey[0], abs=0.5)
    assert grey[25:] == pytest.approx(0.5 * grey[0] + 20, abs=0.5)


def test_noise_is_as_strong_as_asked_for_and_new_in_every_frame() -> None:
    noisy = scene(noise=4.0, seconds=1.0)
    noise = frames(noisy) - frames(dataclasses.replace(noisy, noise=0.0))
    assert noise.std() == pytest.approx(4.0, abs=0.1)
    assert not np.array_equal(noise[0], noise[1])


def test_a_camera_shakes_only_while_it_is_told_to() -> None:
    moved = frames(scene(shake=3.0, shake_s=(1.0, 2.0)))
    differs = [not np.array_equal(moved[0], picture) for picture in moved]
    assert differs == [10 <= frame < 20 for frame in range(30)]
