"""A model in ONNX Runtime on the CPU, to be checked: one thread, so that sums are always taken in the same order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from model_export.errors import ImportRefused
from model_export.manifest import TensorSpec

_FATAL = 4
"""ONNX Runtime's log level: what fails is raised, and told once."""
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(uint16)": "uint16",
    "tensor(int16)": "int16",
    "tensor(uint32)": "uint32",
    "tensor(int32)": "int32",
    "tensor(uint64)": "uint64",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}


class Session:
    """Runs a model.

    Args:
        model: a file, or a file's content.
        name: what to call it in messages.
        optimised: as it is served; else node by node, as it is written.

    Raises:
        ImportRefused: ONNX Runtime cannot load it, or it takes or gives something else than tensors of numbers.
    """

    def __init__(self, model: Path | bytes, *, name: str, optimised: bool = True) -> None:
        options = ort.SessionOptions()
        if not optimised:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = _FATAL
        source = str(model) if isinstance(model, Path) else model
        # ONNX Runtime raises a dozen unrelated classes right below Exception, all for "not this model".
        try:
            self._session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ImportRefused(
                f"ONNX Runtime {ort.__version__} cannot load {name}: {_reason(error)}.",
                hint="Export it again, with operators, an opset and an IR version that this one knows.",
            ) from error
        self.name = name
        self.inputs = tuple(_spec(value) for value in self._session.get_inputs())
        self.outputs = tuple(_spec(value) for value in self._session.get_outputs())

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Every output by name.

        Raises:
            ImportRefused: the run fails.
        """
        try:
            values = self._session.run(None, dict(inputs))
        except Exception as error:
            sizes = ", ".join(f"{name} {list(value.shape)}" for name, value in inputs.items())
            raise ImportRefused(f"{self.name} fails on {sizes}: {_reason(error)}.") from error
        return {spec.name: np.asarray(value) for spec, value in zip(self.outputs, values, strict=True)}


def _spec(value: Any) -> TensorSpec:
    if value.type not in _DTYPES:
        raise ImportRefused(f"{value.name!r} is a {value.type}, not a tensor of numbers.")
    shape = tuple(size if isinstance(size, int) and size > 0 else None for size in value.shape)
    return TensorSpec(name=value.name, dtype=_DTYPES[value.type], shape=shape)


def _reason(error: Exception) -> str:
    """The one line of an ONNX Runtime error that says what was wrong."""
    text = str(error).strip()
    line = text.splitlines()[0] if text else type(error).__name__
    if line.startswith("[ONNXRuntimeError]"):
        line = line.split(" : ", 3)[-1]
    return line.strip().rstrip(".")
