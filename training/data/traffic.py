"""Who moves through a rendered street: cars on two lanes, walkers on two pavements, drawn by lot."""

from __future__ import annotations

import numpy as np

from training.data.scenes import Actor, KeyPoint, Label, Light, Scene
from training.data.street import ROAD

_PAINTS = ((44, 50, 168), (150, 112, 52), (62, 62, 64), (206, 208, 210), (52, 118, 66), (38, 130, 196))
_COATS = ((52, 104, 196), (160, 62, 44), (58, 58, 148), (62, 132, 84), (84, 78, 74), (196, 198, 190), (128, 60, 124))


def busy_street(
    *,
    seed: int = 7,
    seconds: float = 24.0,
    fps: float = 12.5,
    width: int = 640,
    height: int = 360,
    noise: float = 3.0,
    shake: float = 0.0,
    light: tuple[Light, ...] | None = None,
) -> Scene:
    """A street with traffic both ways.

    A lane's cars drive alike and keep their distance; walkers go either way on both pavements and meet; about one in
    four stops for a while. Without `light`, a cloud comes over after a third of the time, and it clears at once later.
    """
    rng = np.random.default_rng([seed, 4])
    scale = width / 640
    actors: list[Actor] = []

    def add(label: Label, size: tuple[float, float], colour: tuple[int, int, int], path: list[KeyPoint]) -> None:
        actors.append(Actor(len(actors) + 1, label, size[0] * scale, size[1] * scale, colour, tuple(path)))

    for lane, to_left in ((0.44, False), (0.88, True)):
        foot = height * (ROAD[0] + lane * (ROAD[1] - ROAD[0]))
        crossing_s = float(rng.uniform(4.5, 6.0))
        starts_s = 1.0 + float(rng.uniform(0.0, 2.5))
        while starts_s < seconds - 3.0:
            size = (float(rng.uniform(80, 104)), float(rng.uniform(34, 40)))
            ends = (-size[0] * scale, width + size[0] * scale)
            paint = _PAINTS[int(rng.integers(len(_PAINTS)))]
            start, end = ends[::-1] if to_left else ends
            path = [KeyPoint(starts_s, start, foot), KeyPoint(starts_s + crossing_s, end, foot)]
            add("car", size, paint, path)
            starts_s += float(rng.uniform(3.0, 6.0))
    for pavement in (0.46, 0.93):
        starts_s = float(rng.uniform(0.0, 2.0))
        while starts_s < seconds - 6.0:
            size = (float(rng.uniform(16, 20)), float(rng.uniform(42, 50)))
            foot = height * (pavement + float(rng.uniform(-0.02, 0.03)))
            coat = _COATS[int(rng.integers(len(_COATS)))]
            add("person", size, coat, _walk(rng, starts_s, foot, width, size[0] * scale))
            starts_s += float(rng.uniform(4.0, 8.0))
    if light is None:
        light = (Light(seconds / 3, seconds / 2, 0.8), Light(seconds * 0.75, seconds * 0.75, 1.2))
    return Scene(
        seed=seed,
        actors=tuple(actors),
        width=width,
        height=height,
        fps=fps,
        seconds=seconds,
        light=light,
        noise=noise,
        shake=shake,
    )


def _walk(rng: np.random.Generator, starts_s: float, foot: float, width: int, body: float) -> list[KeyPoint]:
    """Across the picture in 14 to 22 seconds, perhaps with a stop on the way."""
    ends = [-body, width + body]
    if rng.random() < 0.5:
        ends.reverse()
    crossing_s = float(rng.uniform(14.0, 22.0))
    path = [KeyPoint(starts_s, ends[0], foot)]
    now_s = starts_s + crossing_s
    if rng.random() < 0.25:
        part, stop_s = float(rng.uniform(0.3, 0.7)), float(rng.uniform(3.0, 6.0))
        x, at_s = ends[0] + part * (ends[1] - ends[0]), starts_s + part * crossing_s
        path += [KeyPoint(at_s, x, foot), KeyPoint(at_s + stop_s, x, foot)]
        now_s += stop_s
    return [*path, KeyPoint(now_s, ends[1], foot)]
