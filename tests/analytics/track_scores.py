"""How well tracks agree with the truth of a rendered scene."""

from collections.abc import Sequence

from analytics_builders import Tracks

from training.data.scenes import Scene, TrueBox

Box = tuple[float, float, float, float]


def iou(a: Box, b: Box) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def found_actors(scene: Scene, tracks: Tracks) -> tuple[int, int]:
    """How many true tracks were found, and how many there are.

    A true track counts if at least half of it can be seen for more than a second. It is found if one track covers at
    least half of the frames in which it can be seen with an IoU of 0.3 or more.
    """
    truth: dict[int, list[TrueBox]] = {}
    for box in scene.truth():
        if box.visible >= 0.5:
            truth.setdefault(box.id, []).append(box)
    seen = [boxes for boxes in truth.values() if len(boxes) > scene.fps]
    hits = sum(any(2 * _covered(boxes, track) >= len(boxes) for track in tracks.values()) for boxes in seen)
    return hits, len(seen)


def false_tracks(scene: Scene, tracks: Tracks) -> list[int]:
    """Tracks longer than a second that lie on no actor (IoU below 0.1) in most of their frames."""
    truth: dict[int, list[TrueBox]] = {}
    for box in scene.truth():
        truth.setdefault(box.frame, []).append(box)

    def lonely(frame: int, at: Box) -> bool:
        return all(iou(at, box.xyxy) < 0.1 for box in truth.get(frame, []))

    return [
        track_id
        for track_id, track in tracks.items()
        if len(track) > scene.fps and 2 * sum(lonely(frame, at) for frame, at in track.items()) > len(track)
    ]


def tracks_on(scene: Scene, tracks: Tracks, actor: int, frames: range) -> list[int | None]:
    """For each of the frames, the track that lies best on an actor (IoU of 0.3 or more), or None."""
    at = {box.frame: box.xyxy for box in scene.truth() if box.id == actor}
    best: list[int | None] = []
    for frame in frames:
        scored = [(iou(track[frame], at[frame]), track_id) for track_id, track in tracks.items() if frame in track]
        score, track_id = max(scored, default=(0.0, 0))
        best.append(track_id if score >= 0.3 else None)
    return best


def _covered(boxes: Sequence[TrueBox], track: dict[int, Box]) -> int:
    return sum(box.frame in track and iou(box.xyxy, track[box.frame]) >= 0.3 for box in boxes)
