"""What was seen stays where it was until somebody looks there again."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from model_export.geometry import Rectangle
from model_export.predictions import Classes, Detections
from server.analytics.boxes import areas, shared_areas
from server.analytics.mosaic import Tile, cut

F32 = npt.NDArray[np.float32]

_LOOKED_AT = 0.5
_INSIDE = 0.6

Sight = Detections | Classes


class _State(msgspec.Struct, frozen=True):
    boxes: bytes
    scores: bytes
    class_ids: bytes
    probabilities: bytes


_decoder = msgspec.msgpack.Decoder(_State)


class Standing:
    """The last look at each place of a fixed camera's picture.

    Boxes are in pixels of the model's input. A box that was seen before is kept as long as less than half of it was
    looked at again; a new one of its class that lies in it is a part of the same object, cut off by the edge of what
    was looked at.
    """

    def __init__(self) -> None:
        self._last: Sight | None = None

    def look(self, sight: Sight | None, tiles: Sequence[Tile] | None) -> Sight | None:
        """What a frame shows, or None where nobody has looked yet.

        Args:
            sight: what the model said of an input; None where it was not asked.
            tiles: where on that input the frame's parts lie; None: the input is the frame, and none: it was not looked
                at.
        """
        if sight is None or tiles == ():
            return self._last
        if tiles is None or isinstance(sight, Classes):
            self._last = sight
            return sight
        found = cut(sight, tiles)
        if isinstance(self._last, Detections) and len(self._last):
            kept = self._last.take(~_looked_at(self._last.xyxy, [tile.source for tile in tiles]))
            found = _merged(found.take(~_part_of(found, kept)), kept)
        self._last = found
        return found

    def state(self) -> bytes:
        """All that it remembers."""
        match self._last:
            case Detections() as last:
                state = _State(last.xyxy.tobytes(), last.scores.tobytes(), last.class_ids.tobytes(), b"")
            case Classes(probabilities=probabilities):
                state = _State(b"", b"", b"", probabilities.tobytes())
            case None:
                return b""
        return msgspec.msgpack.encode(state)

    def restore(self, state: bytes) -> None:
        """Go on from another one's `state()`."""
        if not state:
            self._last = None
            return
        saved = _decoder.decode(state)
        if saved.probabilities:
            self._last = Classes(np.frombuffer(saved.probabilities, np.float32))
        else:
            self._last = Detections(
                np.frombuffer(saved.boxes, np.float32).reshape(-1, 4),
                np.frombuffer(saved.scores, np.float32),
                np.frombuffer(saved.class_ids, np.int64),
            )


def _looked_at(boxes: F32, regions: Sequence[Rectangle]) -> npt.NDArray[np.bool_]:
    """Which boxes [N, 4] lie at least half in regions that do not overlap."""
    parts = np.array([(part.x, part.y, part.x + part.width, part.y + part.height) for part in regions], np.float32)
    result: npt.NDArray[np.bool_] = shared_areas(boxes, parts).sum(axis=1) >= _LOOKED_AT * areas(boxes)
    return result


def _part_of(found: Detections, kept: Detections) -> npt.NDArray[np.bool_]:
    """Which of `found` are parts of objects that were kept."""
    inside = shared_areas(found.xyxy, kept.xyxy) >= _INSIDE * areas(found.xyxy)[:, None]
    same = found.class_ids[:, None] == kept.class_ids
    result: npt.NDArray[np.bool_] = (inside & same).any(axis=1)
    return result


def _merged(first: Detections, second: Detections) -> Detections:
    scores = np.concatenate([first.scores, second.scores])
    order = np.argsort(-scores, kind="stable")
    return Detections(
        np.concatenate([first.xyxy, second.xyxy])[order],
        scores[order],
        np.concatenate([first.class_ids, second.class_ids])[order],
    )
