"""A third-party model as it came, and how to ask it for one picture or clip at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from model_export.check import Arrays, rows
from model_export.errors import ImportRefused
from model_export.families.family import Family
from model_export.manifest import TensorSpec
from model_export.options import Wishes
from model_export.preprocessing import Layout, Preprocessing
from model_export.session import Session

_RAW = "Import it with --family raw to serve its tensors as they are."
_DTYPES = ("float32", "float16", "float64", "uint8")


@dataclass(frozen=True, slots=True, eq=False)
class Untouched:
    """
    Attributes:
        how: what it wants done to frames.
        size: of its frames, width and height in pixels.
        window: frames of its clips; None: it takes pictures.
        given: the size of batch that it was exported for; None where that is free.
    """

    session: Session
    how: Preprocessing
    size: tuple[int, int]
    window: int | None
    given: int | None

    @property
    def row(self) -> tuple[int, ...]:
        """The shape of its input without the batch."""
        frame = (self.size[1], self.size[0], 3)
        return self.how.layout.row(frame if self.window is None else (self.window, *frame))

    def ask(self, frame: npt.NDArray[np.uint8]) -> Arrays:
        """Raw outputs for one fitted frame [1, height, width, 3] or clip [1, window, height, width, 3], a row each."""
        pictures = np.repeat(self.how.apply(frame), self.given or 1, axis=0)
        takes = self.session.inputs[0]
        try:
            return rows(self.session.run({takes.name: pictures}), 0, 1)
        except ImportRefused as refused:
            if None not in takes.shape[1:]:
                raise
            hint = "It may not take every size: say that which it was trained with, with --input"
            hint += " or --window." if self.window is not None else "."
            raise ImportRefused(refused.message, hint=hint) from refused


def open_untouched(
    file: Path, family: Family, wishes: Wishes, usual_size: tuple[int, int] | None, *, optimised: bool
) -> Untouched:
    """Open a model and find out what it takes, as far as nobody says it.

    Args:
        usual_size: width and height, where the graph leaves them free.
        optimised: as `Session` says.

    Raises:
        ImportRefused: it takes something else than the family's models do.
    """
    session = Session(file, name=file.name, optimised=optimised)
    what = "picture" if family.window is None else "clip"
    if len(session.inputs) != 1:
        raise ImportRefused(
            f"{file.name} has {len(session.inputs)} inputs; this family takes one, the {what}.", hint=_RAW
        )
    spec = session.inputs[0]
    axes = 4 if family.window is None else 5
    if len(spec.shape) != axes or spec.dtype not in _DTYPES:
        raise ImportRefused(
            f"The input {spec.name!r} is {spec.dtype} {_shape(spec)}; this family takes a {what} with {axes} axes.",
            hint=_RAW,
        )
    layout = wishes.layout or _layout(spec, clips=family.window is not None)
    sizes = dict(zip(layout.value, spec.shape, strict=False))
    if len(layout.value) != axes or sizes["c"] not in (3, None):
        raise ImportRefused(
            f"The input {spec.name!r} has shape {_shape(spec)}, which is not {layout} with 3 channels.",
            hint="Say the layout with --layout, or import it with --family raw.",
        )
    usual_width, usual_height = usual_size or (family.geometry.width, family.geometry.height)
    width, height = wishes.size or (sizes["w"] or usual_width, sizes["h"] or usual_height)
    if (sizes["w"] or width, sizes["h"] or height) != (width, height):
        raise ImportRefused(
            f"The graph takes pictures of {sizes['w']}x{sizes['h']}, not {width}x{height}.",
            hint="Leave --input out, or export the model for that size.",
        )
    if spec.dtype == "uint8" and (any(wishes.mean or ()) or any(value != 1 for value in wishes.std or ())):
        raise ImportRefused(
            f"The input {spec.name!r} takes bytes, uint8: nothing can be subtracted from them or divided.",
            hint="Leave --mean and --std out: such a model does that itself. Else export it with a float32 input.",
        )
    usual = family.preprocessing
    how = Preprocessing(
        colour=wishes.colour or usual.colour,
        layout=layout,
        mean=wishes.mean or usual.mean,
        std=wishes.std or usual.std,
        dtype=spec.dtype,
    )
    return Untouched(session, how, (width, height), _window(family, wishes, sizes.get("t")), spec.shape[0])


def _layout(spec: TensorSpec, *, clips: bool) -> Layout:
    """The order in which three channels make sense; the usual one where several do.

    Raises:
        ImportRefused: time may be the channels.
    """
    if not clips:
        return Layout.NHWC if spec.shape[3] == 3 and spec.shape[1] != 3 else Layout.NCHW
    fits = [one for one in Layout if one.of_clips and spec.shape[one.value.index("c")] == 3]
    if len(fits) > 1:
        raise ImportRefused(
            f"The input {spec.name!r} has shape {_shape(spec)}: three of it may be channels or frames.",
            hint=f"Say with --layout whether it is {' or '.join(fits)}.",
        )
    return fits[0] if fits else Layout.NCTHW


def _window(family: Family, wishes: Wishes, declared: int | None) -> int | None:
    if family.window is None:
        if wishes.window is not None or wishes.fps is not None:
            raise ImportRefused("Only a model of clips has a window.", hint="Leave --window and --fps out.")
        return None
    window = wishes.window or declared or family.window
    if declared not in (None, window):
        raise ImportRefused(f"The graph takes clips of {declared} frames, not {window}.", hint="Leave --window out.")
    if window < 2:
        raise ImportRefused("The graph takes clips of one frame.", hint="Import it with --family classifier.")
    return window


def _shape(spec: TensorSpec) -> str:
    return f"[{', '.join('any' if extent is None else str(extent) for extent in spec.shape)}]"
