"""A model on a provider: the seam between the engine and ONNX Runtime.

Another backend is another class with `run` and `close`.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import gc
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt
import onnxruntime as ort

from model_export.errors import ModelError

Array = npt.NDArray[Any]

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
_SHORT = {CPU: "cpu", CUDA: "cuda"}
_FATAL = 4


class SessionFailed(ModelError):
    """ONNX Runtime cannot load the graph, or not run it on these inputs."""

    code = "session_failed"


class ProviderUnavailable(ModelError):
    """The provider that the settings require does not run here."""

    code = "provider_unavailable"


class Session(Protocol):
    """Runs a graph."""

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs by name. May be called by one thread at a time.

        Raises:
            SessionFailed: the graph cannot be run on these inputs.
        """
        ...

    def close(self) -> None:
        """Give its memory back."""
        ...


@dataclass(frozen=True)
class Provider:
    """What models run on, and why it is not what was asked for, where it is not.

    Attributes:
        name: `cpu` or `cuda`.
        asked: `auto`, `cpu` or `cuda`.
        why: empty where `name` is what was asked for.
    """

    name: str
    asked: str
    why: str = ""


class OnnxSession:
    """An ONNX Runtime session. On the CPU it does not spin: waiting threads would take the cores of other sessions.

    Raises:
        SessionFailed: the graph cannot be loaded on that provider.
    """

    def __init__(self, model: Path, provider: str, threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _FATAL  # what fails is raised, and told once
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers: list[Any] = [CPU]
        if provider == "cuda":
            # TF32 would change answers beyond what the golden samples allow.
            providers = [(CUDA, {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}), CPU]
        try:
            self._session = ort.InferenceSession(str(model), options, providers=providers)
        except Exception as error:  # ONNX Runtime's errors have no common class
            raise SessionFailed(f"ONNX Runtime cannot load {model}: {_first_line(error)}") from error
        self._outputs = [output.name for output in self._session.get_outputs()]

    @property
    def provider(self) -> str:
        """The provider that it really runs on."""
        running = str(self._session.get_providers()[0])
        return _SHORT.get(running, running)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        try:
            outputs = self._session.run(self._outputs, dict(inputs))
        except Exception as error:  # ONNX Runtime's errors have no common class
            raise SessionFailed(f"The run failed: {_first_line(error)}") from error
        return dict(zip(self._outputs, outputs, strict=True))

    def close(self) -> None:
        del self._session


def choose_provider(asked: str, *, required: bool, probe: Path | None = None) -> Provider:
    """What models will run on, found out by bringing up a session where a GPU is at stake.

    Args:
        asked: `auto`, `cpu` or `cuda`.
        required: an error, instead of the CPU, where CUDA was asked for and does not work.
        probe: a model to try CUDA with.

    Raises:
        ProviderUnavailable: `required`, and it does not work here.
    """
    if asked == "cpu":
        return Provider("cpu", asked)
    why = _why_no_cuda(probe)
    if not why:
        return Provider("cuda", asked)
    if asked == "auto" and not _has_device():
        return Provider("cpu", asked)
    if required:
        raise ProviderUnavailable(
            f"CUDA is required and does not run here: {why}", hint="`vidserve doctor` says what is missing."
        )
    return Provider("cpu", asked, why)


def release_memory() -> None:
    """Hand freed memory back to the system: the C library keeps it otherwise."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(ctypes.util.find_library("c")).malloc_trim(0)


def _why_no_cuda(probe: Path | None) -> str:
    """Empty where CUDA works."""
    if CUDA not in ort.get_available_providers():
        return "this build of ONNX Runtime has no CUDA; install vidserve[gpu]."
    if not _has_device():
        return "no NVIDIA device is here."
    if hasattr(ort, "preload_dlls"):
        ort.preload_dlls()
    if probe is not None:
        session = OnnxSession(probe, "cuda", 1)
        if session.provider != "cuda":
            return "ONNX Runtime could not bring CUDA up and took the CPU; its libraries are missing or do not fit."
    return ""


def _has_device() -> bool:
    return any(Path("/dev").glob("nvidia[0-9]*"))


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
