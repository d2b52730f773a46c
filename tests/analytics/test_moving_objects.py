"""moving-objects with tracker and events, on scenes whose truth is known and on a real road."""

import dataclasses
from pathlib import Path

import pytest
from analytics_builders import video, watch
from track_scores import false_tracks, found_actors, tracks_on

from training.data.scenes import Actor, KeyPoint, Light, Scene
from training.data.traffic import busy_street

CHANGES_OF_LIGHT = (Light(10, 18, 0.75), Light(24, 24, 1.35), Light(32, 32, 0.8, -6), Light(36, 44, 1.1, 8))
STANDS_UP, STANDS_DOWN = 1, 2


def walker(actor: int, colour: tuple[int, int, int], *path: tuple[float, float, float]) -> Actor:
    return Actor(actor, "person", 18, 46, colour, tuple(KeyPoint(*point) for point in path))


def car(actor: int, colour: tuple[int, int, int], foot: float, starts_s: float, ends_s: float) -> Actor:
    return Actor(actor, "car", 92, 38, colour, (KeyPoint(starts_s, -50, foot), KeyPoint(ends_s, 690, foot)))


def standing_while_others_pass() -> Scene:
    """50 s: two people stand for 30 s each; cars drive by, and a walker passes each of those who stand."""
    actors = (
        walker(STANDS_UP, (50, 50, 150), (4, -10, 172), (10, 250, 172), (40, 250, 172), (48, 650, 172)),
        walker(STANDS_DOWN, (120, 150, 60), (6, 650, 340), (12, 420, 340), (42, 420, 340), (50, 120, 340)),
        walker(3, (70, 70, 70), (20, -10, 166), (38, 650, 166)),
        walker(4, (196, 190, 186), (15, 650, 336), (32, -10, 336)),
        car(5, (40, 50, 170), 222, 3, 8),
        car(6, (150, 120, 60), 268, 13, 18),
        car(7, (60, 130, 60), 222, 23, 28),
        car(8, (205, 205, 210), 268, 30, 35),
        car(9, (40, 40, 42), 222, 37, 42),
    )
    return Scene(seed=3, actors=actors, fps=10.0, seconds=50.0)


DIFFICULTIES = {
    "change_of_light": {"light": CHANGES_OF_LIGHT},
    "shaking_picture": {"shake": 3.0},
    "wind_that_comes_up_in_changing_light": {
        "light": CHANGES_OF_LIGHT,
        "shake": 2.0,
        "shake_s": (20, 40),
        "noise": 5.0,
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_finds_who_moves_and_keeps_who_stands_for_half_a_minute(difficulty: str) -> None:
    scene = dataclasses.replace(standing_while_others_pass(), **DIFFICULTIES[difficulty])
    tracks, _ = watch(scene.frames(), scene.fps)

    hits, all_of_them = found_actors(scene, tracks)
    assert all_of_them == 9
    assert hits >= 0.9 * all_of_them
    assert len(false_tracks(scene, tracks)) <= scene.seconds / 60
    for actor, starts_s, ends_s in ((STANDS_UP, 10, 40), (STANDS_DOWN, 12, 42)):
        on_it = tracks_on(scene, tracks, actor, range(round(starts_s * scene.fps), round(ends_s * scene.fps)))
        assert on_it[0] is not None
        # Somebody walks through them meanwhile, and hides them for some frames.
        assert on_it.count(on_it[0]) >= 0.9 * len(on_it)
        assert on_it[-1] == on_it[0]


@pytest.mark.slow
def test_finds_nothing_in_an_empty_street_whose_light_changes() -> None:
    scene = Scene(seed=5, fps=10.0, seconds=48.0, light=CHANGES_OF_LIGHT, shake=2.0)
    tracks, _ = watch(scene.frames(), scene.fps)
    assert [track for track in tracks.values() if len(track) > scene.fps] == []


def test_finds_the_actors_of_the_sample_video() -> None:
    scene = busy_street()
    sample = Path(__file__).parents[2] / "server" / "samples" / "street.mp4"
    tracks, _ = watch(video(sample), scene.fps)
    hits, all_of_them = found_actors(scene, tracks)
    assert hits >= 0.9 * all_of_them
    assert false_tracks(scene, tracks) == []


@pytest.mark.data
def test_counts_the_four_vehicles_of_a_real_road(shared_data: Path) -> None:
    tracks, events = watch(video(shared_data / "videos" / "car-detection.mp4"), 12.5)

    long = [track for track in tracks.values() if len(track) > 12.5]
    ways = [track[max(track)][1] + track[max(track)][3] - track[min(track)][1] - track[min(track)][3] for track in long]
    assert len(long) == 4
    assert sum(way < -300 for way in ways) == 2
    assert sum(way > 300 for way in ways) == 2
    lasted = [event.value for event in events if event.type == "track_ended"]
    assert sum(value > 1.0 for value in lasted) == 4
