"""Pictures that carry their own number, and a model that reads it: so it is known which picture a row speaks of, and
when the camera sent it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from model_export.bundle import MODEL, Bundle
from model_export.manifest import FrameInput, Manifest, Provenance, Resize, Task, TensorSpec
from tests.cameras.material import Material, Picture, encoded, yard

NUMBERS = 256
"""After which they begin again."""
READER = "number-reader"
_BITS = 8
_CELL = 8
_WIDTH, _HEIGHT = _BITS * _CELL, 36


def numbered(*, size_wh: tuple[int, int] = (640, 360), fps: float = 10, codec: str = "h264") -> Material:
    """Pictures 0 to 255; each is eight upright bars, the first for the highest bit, bright for 1."""
    return encoded(_pictures(size_wh), fps=fps, codec=codec)


def read_number(picture: Picture) -> int:
    """The number in a picture of any size."""
    bars = np.array_split(picture.mean(axis=(0, 2)), _BITS)
    return sum(int(bar.mean() > 127) << (_BITS - 1 - place) for place, bar in enumerate(bars))


def write_reader(models: Path) -> str:
    """Put the model that reads numbers into a repository: a classifier whose label is the number. Its name."""
    weights = (2.0 ** np.arange(_BITS - 1, -1, -1)).astype(np.float32)
    constants: dict[str, npt.NDArray[np.generic]] = {
        "bars": np.array([0, _HEIGHT, _BITS, _CELL, 3], np.int64),
        "axes": np.array([1, 3, 4], np.int64),
        "middle": np.array(127, np.float32),
        "weights": weights[:, None],
        "numbers": np.arange(NUMBERS, dtype=np.float32)[None],
    }
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["frames"], ["grey"], to=TensorProto.FLOAT),
            helper.make_node("Reshape", ["grey", "bars"], ["split"]),
            helper.make_node("ReduceMean", ["split", "axes"], ["levels"], keepdims=0),
            helper.make_node("Greater", ["levels", "middle"], ["bright"]),
            helper.make_node("Cast", ["bright"], ["bits"], to=TensorProto.FLOAT),
            helper.make_node("MatMul", ["bits", "weights"], ["number"]),
            helper.make_node("Equal", ["number", "numbers"], ["same"]),
            helper.make_node("Cast", ["same"], ["probabilities"], to=TensorProto.FLOAT),
        ],
        READER,
        [helper.make_tensor_value_info("frames", TensorProto.UINT8, ["B", _HEIGHT, _WIDTH, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["B", NUMBERS])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    manifest = Manifest(
        name=READER,
        version=1,
        task=Task.CLASSIFY,
        family="test",
        input=FrameInput(width=_WIDTH, height=_HEIGHT, resize=Resize.STRETCH),
        inputs=(TensorSpec(name="frames", dtype="uint8", shape=(None, _HEIGHT, _WIDTH, 3)),),
        outputs=(TensorSpec(name="probabilities", dtype="float32", shape=(None, NUMBERS)),),
        labels=tuple(str(number) for number in range(NUMBERS)),
        provenance=Provenance(tool="test"),
    )
    Bundle.write(models / READER / "1", manifest, {MODEL: onnx.ModelProto.SerializeToString(model)})
    return READER


def _pictures(size_wh: tuple[int, int]) -> Iterator[Picture]:
    scene = yard(size_wh) // 2
    width = size_wh[0]
    for number in range(NUMBERS):
        picture = scene.copy()
        for place in range(_BITS):
            if number >> (_BITS - 1 - place) & 1:
                picture[:, place * width // _BITS : (place + 1) * width // _BITS] += 180
        yield picture
