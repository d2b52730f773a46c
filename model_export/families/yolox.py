"""YOLOX (Ge et al. 2021, "YOLOX: Exceeding YOLO Series in 2021").

One output [B, N, 5 + classes], a row per cell of the grids for strides 8, 16, 32 (and 64): the centre's offset from
the cell in strides, the logarithm of the size in strides, objectness, a score per class. Its exporter can also leave
boxes already decoded to pixels; both are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_export.errors import ImportRefused
from model_export.families.family import Array, Reading, Told, is_share, shapes_of
from model_export.graph import Graph
from model_export.heads import best_class, cell_count, corners, ranked, ranked_rows, rows_of, take
from model_export.manifest import FrameInput, Resize, Suppression, Task, TensorSpec
from model_export.preprocessing import Preprocessing

STRIDES = ((8, 16, 32), (8, 16, 32, 64))
_CLEARLY = 2
"""Centres must be so much nearer to their cells in one unit than in the other; of YOLOX-Nano it is 30."""
_FAR = 10
"""In sides of the input."""
_UNITS = "Export it as YOLOX does: offsets and logarithms in strides, or with decoding, in pixels of the input."


@dataclass(frozen=True, slots=True, eq=False)
class YoloxHead:
    """Decodes one model's output.

    Attributes:
        output: its name.
        cells: f32 [N, 2], x and y of each cell in its grid; strides: f32 [N, 1], in pixels.
        decoded: the model's boxes are in pixels already.
    """

    output: str
    cells: npt.NDArray[np.float32]
    strides: npt.NDArray[np.float32]
    columns: int
    decoded: bool

    def append(self, graph: Graph) -> tuple[TensorSpec, ...]:
        raw = graph.result(self.output)
        centres, sizes = take(graph, raw, 0, 2), take(graph, raw, 2, 4)
        if not self.decoded:
            stride = graph.constant(self.strides, np.float32)
            centres = graph.add("Mul", [graph.add("Add", [centres, graph.constant(self.cells, np.float32)]), stride])
            sizes = graph.add("Mul", [graph.add("Exp", [sizes]), stride])
        best, classes = best_class(graph, take(graph, raw, 5, self.columns))
        scores = graph.add("Mul", [take(graph, raw, 4, 5), best])
        return ranked(graph, corners(graph, centres, sizes), scores, classes, rows_of(len(self.cells)))

    def decode(self, raw: Mapping[str, Array]) -> dict[str, Array]:
        values = raw[self.output].astype(np.float32)
        centres, sizes = values[..., 0:2], values[..., 2:4]
        if not self.decoded:
            centres, sizes = (centres + self.cells) * self.strides, np.exp(sizes) * self.strides
        boxes = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=2)
        scores = values[..., 4:5] * values[..., 5:]
        return ranked_rows(boxes, scores.max(axis=2), scores.argmax(axis=2), rows_of(len(self.cells)))


class Yolox:
    """The family."""

    task = Task.DETECT
    window = None
    geometry = FrameInput(width=640, height=640, resize=Resize.LETTERBOX, pad=114, align="top_left")
    preprocessing = Preprocessing()

    def read(self, raw: Mapping[str, Array], spec: FrameInput, told: Told) -> Reading:
        name, values = next(iter(raw.items()))
        if len(raw) != 1 or values.ndim != 3 or values.shape[2] < 6:
            raise ImportRefused(
                f"YOLOX answers one output [boxes, 5 + classes]; this model answers {shapes_of(raw)}.",
                hint="Take another --family.",
            )
        grids = {cell_count(spec, strides): strides for strides in STRIDES}
        if values.shape[1] not in grids:
            raise ImportRefused(
                f"At {spec.width}x{spec.height} YOLOX answers {' or '.join(map(str, grids))} boxes, this model "
                f"{values.shape[1]}.",
                hint="Say the size that it was exported for with --input, or take another --family.",
            )
        if not is_share(values[..., 4:]):
            raise ImportRefused(
                "YOLOX's scores lie in 0…1; this model's do not.", hint="Export it with its sigmoids, as YOLOX does."
            )
        cells, strides = _grid(spec, grids[values.shape[1]])
        head = YoloxHead(name, cells, strides, values.shape[2], _is_decoded(values, cells, strides))
        _refuse_absurd(head.decode(raw)["boxes"][:, 0], spec)
        return Reading(head, values.shape[2] - 5, suppression=Suppression(iou=0.45))


def _is_decoded(values: Array, cells: Array, strides: Array) -> bool:
    """Whether boxes [B, N, 4 + …] are in pixels already. A centre lies near its own cell, most by less than a stride;
    read in the wrong unit, most lie far off.

    Raises:
        ImportRefused: they are in another unit, or it stays in doubt.
    """
    centres = values[..., :2].astype(np.float64)
    raw, decoded = (float(np.median(np.abs(apart))) for apart in (centres, centres / strides - cells))
    negative = bool((values[..., 2:4] < 0).any())
    if is_share(values[..., :4]):
        raise ImportRefused("The boxes are not in pixels of the input: all of them lie in 0…1.", hint=_UNITS)
    if not min(raw, decoded) * _CLEARLY <= max(raw, decoded) or (decoded < raw and negative):
        sizes = "sizes below 0" if negative else "no size below 0"
        raise ImportRefused(
            "It stays in doubt whether the model's boxes are in pixels already: half of the centres lie more than "
            f"{raw:.3g} strides from their cells if not, {decoded:.3g} if so, and there are {sizes}.",
            hint=_UNITS,
        )
    return decoded < raw


def _refuse_absurd(best: Array, spec: FrameInput) -> None:
    """Look at the best box of each picture, [B, 4] in pixels; a weak one may be anything."""
    furthest = float(np.abs(best).max())
    if not furthest <= _FAR * max(spec.width, spec.height):
        raise ImportRefused(
            f"The best box of a drawn picture reaches to {furthest:.6g} px, of an input of {spec.width}x{spec.height}.",
            hint=_UNITS,
        )


def _grid(spec: FrameInput, strides: tuple[int, ...]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Cells row by row, the finest grid first: (x, y) [N, 2] and stride [N, 1]."""
    cells, steps = [], []
    for stride in strides:
        rows, columns = np.mgrid[0 : spec.height // stride, 0 : spec.width // stride]
        cells.append(np.stack([columns.ravel(), rows.ravel()], axis=1))
        steps.append(np.full((rows.size, 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(steps).astype(np.float32)


FAMILY = Yolox()
