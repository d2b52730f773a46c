"""A graph with convolutions and matrix products in 8 bits, their ranges seen on real samples (static quantisation).

ONNX Runtime's own quantiser does it: activations uint8, weights int8 with a scale for each channel, in the form
quantise–dequantise (QDQ), which every provider reads. Source: Jacob et al., "Quantization and training of neural
networks for efficient integer-arithmetic-only inference", 2018.

Weights use 7 of their 8 bits: processors without VNNI add two products of 8 bits in 16, which could overflow, and the
same bundle would answer otherwise there.

Imports onnx; only the command line and the exporter import this.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path

import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quant_pre_process, quantize_static

from model_export.agreement import Arrays
from model_export.graph import finished
from model_export.loops import in_loops

LEAST_WEIGHTS = 1 << 16
"""Of a matrix product: one with fewer takes less time than rounding what comes to 8 bits and back."""
PICTURE_CHANNELS = 4
"""A convolution of so few channels, of the picture itself, is slower in 8 bits, and rounds what all others see."""
_PASSING = ("Relu", "Clip", "MaxPool", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten")
"""Steps that 8-bit numbers pass without being computed anew."""
_COMPUTING = ("Conv", "Gemm", "MatMul")


class _Feeds(CalibrationDataReader):  # type: ignore[misc]  # ONNX Runtime is not typed
    def __init__(self, feeds: Iterable[Arrays]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> Arrays | None:
        return next(self._feeds, None)


def quantised(content: bytes, feeds: Iterable[Arrays], carried: Mapping[str, str]) -> bytes | None:
    """The graph in 8 bits, with the same inputs and outputs; None where nothing in it is worth that.

    What stays in single precision: recurrent nodes (`GRU`, `LSTM`, `RNN`), whose operators have no 8-bit form; whatever
    a state comes back to in the next frame, where errors would add up; convolutions of the picture; small products.

    Args:
        content: an ONNX file.
        feeds: inputs by name, each with its batch axis, real ones: of every tensor the least and the largest number
            that is seen is the range of its 8 bits.
        carried: state output → state input.

    Raises:
        ImportRefused: what comes out is not a valid graph.
    """
    with tempfile.TemporaryDirectory(prefix="vidserve-int8-") as folder, _quiet():
        plain, prepared, finished = (Path(folder) / f"{name}.onnx" for name in ("plain", "prepared", "finished"))
        plain.write_bytes(content)
        # Norms become part of the convolutions before them, and what is constant is computed.
        quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
        model = onnx.load(prepared)
        chosen = worthwhile(model, carried)
        if not chosen:
            return None
        passing = [node.name for node in model.graph.node if node.op_type in _PASSING]
        quantize_static(
            str(prepared),
            str(finished),
            _Feeds(feeds),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=[*_COMPUTING, *_PASSING],
            nodes_to_quantize=[*chosen, *passing],
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            # What a product gives is needed in full: probabilities and gates are made of it.
            extra_options={"OpTypesToExcludeOutputQuantization": ["Gemm", "MatMul"]},
        )
        return _sealed(onnx.load(finished))


def worthwhile(model: onnx.ModelProto, carried: Mapping[str, str]) -> tuple[str, ...]:
    """The names of the convolutions and products that are to be in 8 bits.

    Args:
        carried: state output → state input.
    """
    weights = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    rounding_adds_up = in_loops(model, carried)
    return tuple(
        node.name
        for node in model.graph.node
        if node.op_type in _COMPUTING
        and node.input[1] in weights
        and _large(node, weights[node.input[1]])
        and node.name not in rounding_adds_up
    )


def _large(node: onnx.NodeProto, shape: tuple[int, ...]) -> bool:
    if node.op_type != "Conv":
        return prod(shape) >= LEAST_WEIGHTS
    groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
    return shape[1] * groups > PICTURE_CHANNELS


def _sealed(model: onnx.ModelProto) -> bytes:
    """The finished file, without what the tools noted in it."""
    used = {node.domain for node in model.graph.node}
    imports = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(imports)
    model.ClearField("metadata_props")
    del model.graph.value_info[:]
    return finished(model)


@contextmanager
def _quiet() -> Iterator[None]:
    """The tools log how they should be called, by the root's logger."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(level)
