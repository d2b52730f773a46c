"""What a whole video came to, label by label."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class _Label(msgspec.Struct):
    frames: int
    most_at_once: int
    tracks: int
    first_s: float
    last_s: float


_decoder = msgspec.msgpack.Decoder(dict[str, _Label])


class Summary:
    """Counts as frames are seen.

    Args:
        tracked: whether objects have lasting ids, so that different ones can be counted.
    """

    def __init__(self, *, tracked: bool) -> None:
        self._tracked = tracked
        self._labels: dict[str, _Label] = {}

    def see(self, pts_s: float, labels: Iterable[str]) -> None:
        """Count the objects of one frame."""
        counts: dict[str, int] = {}
        for name in labels:
            counts[name] = counts.get(name, 0) + 1
        for name, count in counts.items():
            label = self._labels.get(name)
            if label is None:
                label = self._labels[name] = _Label(0, 0, 0, pts_s, pts_s)
            label.frames += 1
            label.most_at_once = max(label.most_at_once, count)
            label.last_s = pts_s

    def track(self, name: str) -> None:
        """Count another object; its label was seen in this frame."""
        self._labels[name].tracks += 1

    def result(self) -> dict[str, dict[str, float | int]]:
        """As `LabelSummary` says, by label."""
        found: dict[str, dict[str, float | int]] = {}
        for name, label in sorted(self._labels.items()):
            found[name] = {
                "frames": label.frames,
                "most_at_once": label.most_at_once,
                "first_s": round(label.first_s, 6),
                "last_s": round(label.last_s, 6),
            }
            if self._tracked:
                found[name]["tracks"] = label.tracks
        return found

    def state(self) -> bytes:
        return msgspec.msgpack.encode(self._labels)

    def restore(self, state: bytes) -> None:
        self._labels = _decoder.decode(state)
