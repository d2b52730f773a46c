"""Parts of several frames side by side on one input of a model, and its answers back to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from model_export.geometry import Rectangle
from model_export.predictions import Detections
from server.analytics.regions import CELL

U8 = npt.NDArray[np.uint8]


class Tile(NamedTuple):
    """A part of a fitted frame, and where it lies on the model's input; in pixels of it."""

    source: Rectangle
    x: int
    y: int

    @property
    def target(self) -> Rectangle:
        """The part of the input that it fills."""
        return Rectangle(self.x, self.y, self.source.width, self.source.height)


class Mosaic:
    """What of an input is still free.

    Args:
        width, height: of the model's input, in pixels.
    """

    def __init__(self, width: int, height: int) -> None:
        self._size = width, height
        self._taken = np.zeros((-(-height // CELL), -(-width // CELL)), np.bool_)

    def place(self, regions: Sequence[Rectangle]) -> tuple[Tile, ...] | None:
        """Find room for the parts of one frame, the tallest first, each in the first gap from the top.

        Returns:
            A tile a part, or None, with nothing changed, where they do not all fit. On an empty input they always do:
            where they lay, if nowhere else.
        """
        tiles = self._first_gaps(regions)
        if tiles is None and not self._taken.any():
            self._taken[:] = True
            return tuple(Tile(part, part.x, part.y) for part in regions)
        return tiles

    def _first_gaps(self, regions: Sequence[Rectangle]) -> tuple[Tile, ...] | None:
        taken = self._taken.copy()
        tiles = []
        for part in sorted(regions, key=lambda part: (-part.height, -part.width, part.x, part.y)):
            rows, columns = -(-part.height // CELL), -(-part.width // CELL)
            if rows > taken.shape[0] or columns > taken.shape[1]:
                return None
            windows = np.lib.stride_tricks.sliding_window_view(taken, (rows, columns))
            occupied: npt.NDArray[np.bool_] = np.any(windows, axis=(2, 3))
            # The last column and row may be narrower than a cell.
            width, height = self._size
            occupied[(height - part.height) // CELL + 1 :] = True
            occupied[:, (width - part.width) // CELL + 1 :] = True
            row, column = divmod(int(occupied.argmin()), occupied.shape[1])
            if occupied[row, column]:
                return None
            taken[row : row + rows, column : column + columns] = True
            tiles.append(Tile(part, column * CELL, row * CELL))
        self._taken = taken
        return tuple(tiles)


def draw(tiles: Sequence[Tile], frame: U8, out: U8) -> None:
    """Copy the parts of a fitted frame [H, W, 3] to their places on the input `out`, of the same shape."""
    for tile in tiles:
        tile.target.of(out)[...] = tile.source.of(frame)


def cut(found: Detections, tiles: Sequence[Tile]) -> Detections:
    """What was found on a frame's tiles, in pixels of the fitted frame; scores descending.

    A box belongs to the tile in which its middle lies, and is clipped to it.
    """
    middle = (found.xyxy[:, :2] + found.xyxy[:, 2:]) / 2
    owner = np.full(len(found), -1, np.intp)
    boxes = found.xyxy.copy()
    for number, tile in enumerate(tiles):
        low = np.array([tile.x, tile.y], np.float32)
        high = low + np.array([tile.source.width, tile.source.height], np.float32)
        mine = ((middle >= low) & (middle < high)).all(axis=1)
        owner[mine] = number
        shift = np.array([tile.source.x - tile.x, tile.source.y - tile.y] * 2, np.float32)
        boxes[mine] = np.clip(boxes[mine], np.tile(low, 2), np.tile(high, 2)) + shift
    kept = owner >= 0
    return Detections(boxes[kept], found.scores[kept], found.class_ids[kept])
