"""Builds `moving-objects`: an adaptive Gaussian background model as an ONNX graph with state.

Every pixel keeps a running mean and variance (Wren et al., Pfinder, 1997); what is far from them is foreground. Beyond
that: the background follows the light, by a gain and an offset for the whole picture that are fitted robustly in every
frame; edges of the background are given room, for a shaking camera; and it is not learned under the foreground, until
something has stood for so long that it belongs to the place (a parked car), or the place was hardly known before.

The same ONNX release gives the same bytes. `python -m model_export.background FOLDER` writes the bundle.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from model_export.bundle import GOLDEN, MODEL, Bundle
from model_export.golden import encode
from model_export.manifest import FrameInput, Manifest, Provenance, Resize, State, Task, TensorSpec
from model_export.states import first_rows

WIDTH, HEIGHT = 384, 216
OPSET = 17
IR_VERSION = 8

LEARN = 0.02
"""Part of a background pixel that a frame replaces."""
HOLD_FRAMES = 1000
"""For how many frames at most what stands still stays foreground: 80 s at 12.5 frames a second, 33 s at 30."""
TRUST = 12.0
"""Frames for which a pixel's background is held under foreground, for each frame in which it was seen before. What was
there when a stream began and soon moved away is forgotten soon; who stands still after a few seconds is kept."""
ABSORB = 0.1
"""Part of a pixel that a frame replaces once it has been foreground for longer."""
DEVIATIONS = 4.0
LEAST_VARIANCE, FIRST_VARIANCE, MOST_VARIANCE = 12.0, 40.0, 800.0
"""Of the squared distance over three channels, after smoothing over 3 × 3 pixels."""
EDGE = 0.8
"""Room at edges: a pixel may differ by this times the range of grey within one pixel around it."""
UPHEAVAL = 0.6
"""Part of the picture that must change at once for the background to be begun anew."""
CELL = 8
FIT_ROUNDS = 3


class _Graph:
    """Nodes in the order they run; every method adds one and returns the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self.initializers: list[onnx.TensorProto] = []

    def op(self, kind: str, *inputs: str | float, name: str | None = None, **attributes: int | list[int]) -> str:
        out = name or f"t{len(self.nodes)}"
        named = [one if isinstance(one, str) else self.constant(np.float32(one)) for one in inputs]
        self.nodes.append(helper.make_node(kind, named, [out], None, None, None, None, **attributes))
        return out

    def constant(self, value: npt.NDArray[np.generic] | np.generic) -> str:
        array = np.asarray(value)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = f"c{len(self._constants)}"
            self.initializers.append(numpy_helper.from_array(array, self._constants[key]))
        return self._constants[key]

    def mean(self, x: str, axes: Sequence[int]) -> str:
        return self.op("ReduceMean", x, axes=list(axes), keepdims=1)

    def across(self, x: str) -> str:
        """The sum of the three channels; a Split is four times as fast as ReduceSum or a convolution."""
        blue, green, red = (f"t{len(self.nodes)}{colour}" for colour in "bgr")
        self.nodes.append(helper.make_node("Split", [x], [blue, green, red], axis=1))
        return self.op("Add", self.op("Add", blue, green), red)

    def grow(self, x: str, size: int) -> str:
        return self.op("MaxPool", x, kernel_shape=[size, size], pads=[size // 2] * 4)

    def shrink(self, x: str, size: int) -> str:
        return self.op("Neg", self.grow(self.op("Neg", x), size))

    def number(self, condition: str) -> str:
        return self.op("Cast", condition, to=TensorProto.FLOAT)


def _lit(g: _Graph, picture: str, mean: str) -> str:
    """The background in the light of this frame: mean · gain + offset for each channel, fitted on a coarse grid."""
    seen = g.op("AveragePool", picture, kernel_shape=[CELL // 2] * 2, strides=[CELL] * 2)
    known = g.op("AveragePool", mean, kernel_shape=[CELL // 2] * 2, strides=[CELL] * 2)
    residual = g.op("Sub", seen, known)
    gain = offset = ""
    for _ in range(FIT_ROUNDS):
        # Weights of Geman and McClure (1985): a cell that fits badly counts for little.
        away = g.mean(g.op("Mul", residual, residual), [1])
        scale = g.op("Add", g.mean(g.op("Sqrt", away), [1, 2, 3]), 2.0)
        ratio = g.op("Add", g.op("Div", away, g.op("Mul", scale, scale)), 1.0)
        weight = g.op("Div", 1.0, g.op("Mul", ratio, ratio))
        weight = g.op("Div", weight, g.mean(weight, [1, 2, 3]))
        middle_known = g.mean(g.op("Mul", weight, known), [2, 3])
        middle_seen = g.mean(g.op("Mul", weight, seen), [2, 3])
        spread = g.op("Sub", known, middle_known)
        weighted = g.op("Mul", weight, spread)
        together = g.mean(g.op("Mul", weighted, g.op("Sub", seen, middle_seen)), [2, 3])
        alone = g.mean(g.op("Mul", weighted, spread), [2, 3])
        # The added constant pulls the gain of a picture without contrast to 1.
        gain = g.op("Div", g.op("Add", together, 4.0), g.op("Add", alone, 4.0))
        gain = g.op("Clip", gain, 0.2, 5.0)
        offset = g.op("Sub", middle_seen, g.op("Mul", gain, middle_known))
        residual = g.op("Sub", seen, g.op("Add", g.op("Mul", gain, known), offset))
    return g.op("Add", g.op("Mul", gain, mean), offset)


def _model() -> onnx.ModelProto:
    g = _Graph()
    planes = g.op("Cast", g.op("Transpose", "frames", perm=[0, 3, 1, 2]), to=TensorProto.FLOAT)
    picture = g.op("AveragePool", planes, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    first = g.op("Reshape", g.number(g.op("Less", "count_in", 0.5)), g.constant(np.array([-1, 1, 1, 1])))
    count = g.op("Reshape", "count_in", g.constant(np.array([-1, 1, 1, 1])))

    background = _lit(g, picture, "mean_in")
    difference = g.op("Sub", picture, background)
    distance = g.across(g.op("Mul", difference, difference))
    level = g.across(background)
    edge = g.op("Add", g.grow(level, 3), g.grow(g.op("Neg", level), 3))
    room = g.op("Mul", g.op("Mul", edge, edge), EDGE**2 / 3)
    limit = g.op("Add", g.op("Mul", "variance_in", DEVIATIONS**2), room)
    raw = g.number(g.op("Greater", distance, limit))

    opened = g.grow(g.shrink(raw, 3), 3)
    grown = g.grow(opened, 7)
    closed = g.shrink(grown, 7)
    anew = g.op("Max", first, g.number(g.op("Greater", g.mean(raw, [1, 2, 3]), UPHEAVAL)))
    mask = g.op("Mul", closed, g.op("Sub", 1.0, anew))

    # What is held reaches beyond the outline: seen through the room at edges it would be learned from there inwards.
    held = g.op("Mul", grown, g.op("Sub", 1.0, anew))
    free = g.op("Sub", 1.0, held)
    under = g.op("Mul", g.number(g.op("Less", "trust_in", 0.5)), ABSORB)
    beside = g.op("Max", g.op("Div", 1.0, g.op("Add", count, 1.0)), LEARN)
    rate = g.op("Add", g.op("Mul", held, under), g.op("Mul", free, beside))
    rate = g.op("Max", rate, anew)

    g.op("Add", background, g.op("Mul", rate, difference), name="mean_out")
    toward = g.op("Sub", g.op("Min", distance, MOST_VARIANCE), "variance_in")
    variance = g.op("Clip", g.op("Add", "variance_in", g.op("Mul", rate, toward)), LEAST_VARIANCE, MOST_VARIANCE)
    kept = g.op("Mul", variance, g.op("Sub", 1.0, anew))
    g.op("Add", kept, g.op("Mul", anew, FIRST_VARIANCE), name="variance_out")
    kept = g.op("Mul", "trust_in", g.op("Sub", 1.0, anew))
    change = g.op("Sub", g.op("Mul", free, TRUST + 1), 1.0)
    g.op("Clip", g.op("Add", kept, change), 0.0, float(HOLD_FRAMES), name="trust_out")
    g.op("Add", "count_in", 1.0, name="count_out")
    levels = g.op("Cast", g.op("Mul", mask, 255.0), to=TensorProto.UINT8)
    g.op("Squeeze", levels, g.constant(np.array([1])), name="foreground")

    def value(spec: TensorSpec) -> onnx.ValueInfoProto:
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype))
        return helper.make_tensor_value_info(spec.name, kind, ["batch", *spec.shape[1:]])

    graph = helper.make_graph(
        g.nodes, "moving-objects", [value(one) for one in INPUTS], [value(one) for one in OUTPUTS], g.initializers
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="vidserve")
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return model


_PLANES = {"mean": (3, HEIGHT, WIDTH), "variance": (1, HEIGHT, WIDTH), "trust": (1, HEIGHT, WIDTH), "count": (1,)}
STATE = tuple(State(input=f"{n}_in", output=f"{n}_out", dtype="float32", shape=s) for n, s in _PLANES.items())
INPUTS = (
    TensorSpec(name="frames", dtype="uint8", shape=(None, HEIGHT, WIDTH, 3)),
    *(TensorSpec(name=one.input, dtype=one.dtype, shape=(None, *one.shape)) for one in STATE),
)
OUTPUTS = (
    TensorSpec(name="foreground", dtype="uint8", shape=(None, HEIGHT, WIDTH)),
    *(TensorSpec(name=one.output, dtype=one.dtype, shape=(None, *one.shape)) for one in STATE),
)


def _golden_frames() -> npt.NDArray[np.uint8]:
    """An empty place twice, then with a bright and a dark thing in it; whole numbers, the same on every machine."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    place = 90 + x // 8 + y // 6 + (x * 7 + y * 13) % 5
    frames = np.repeat(np.stack([place, place + 4, place + 9], axis=-1)[None], 3, axis=0)
    frames[2, 60:120, 100:140] = (230, 220, 225)
    frames[2, 130:160, 250:330] = (20, 30, 25)
    return frames.astype(np.uint8)


def _golden(model: bytes) -> bytes:
    import onnxruntime as ort

    frames = _golden_frames()
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    rows = first_rows(STATE, 1)
    masks = []
    for frame in frames:
        answer = session.run([one.name for one in OUTPUTS], {"frames": frame[None], **rows})
        masks.append(answer[0])
        rows = {one.input: value for one, value in zip(STATE, answer[1:], strict=True)}
    return encode({"frames": frames}, {"foreground": np.concatenate(masks)})


def build(folder: Path) -> Bundle:
    """Write the bundle into `folder`, which must not exist.

    Raises:
        ModelExists: the folder is there already.
    """
    manifest = Manifest(
        name="moving-objects",
        version=1,
        task=Task.MOTION,
        family="background",
        description="What moves before a fixed camera. Needs no training; changes of light and a shaking mount are "
        "allowed for, and what stands still stays for a thousand frames.",
        input=FrameInput(width=WIDTH, height=HEIGHT, resize=Resize.STRETCH, interpolation="linear"),
        inputs=INPUTS,
        outputs=OUTPUTS,
        labels=("moving",),
        state=STATE,
        provenance=Provenance(tool="vidserve", licence="Apache-2.0"),
    )
    model = _model().SerializeToString(deterministic=True)
    return Bundle.write(folder, manifest, {MODEL: model, GOLDEN: _golden(model)})


if __name__ == "__main__":
    build(Path(sys.argv[1]))
