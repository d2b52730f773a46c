"""A model on a provider: the seam between the engine and ONNX Runtime.

Another backend is another class with `run` and `close`.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy.typing as npt
import onnxruntime as ort

from model_export.errors import ModelError
from model_export.manifest import State
from server.engine.state import StateRows, States

_log = logging.getLogger(__name__)

Array = npt.NDArray[Any]

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
_SHORT = {CPU: "cpu", CUDA: "cuda"}
_FATAL = 4
# What fails is raised, and told once.
ort.set_default_logger_severity(_FATAL)
_LEVELS = {
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
}
OPTIMIZATIONS = tuple(_LEVELS)
"""Levels worth trying, the usual one first: only `all` lays tensors out for the CPU's vectors, which a graph of many
small steps may pay for with more copying than it gains."""


class SessionFailed(ModelError):
    """ONNX Runtime cannot load the graph, or not run it on these inputs."""

    code = "session_failed"


class ProviderUnavailable(ModelError):
    """The provider that the settings require does not run here."""

    code = "provider_unavailable"


class Options(NamedTuple):
    """How a graph is computed on a CPU; either may change bits of the answers.

    Attributes:
        optimization: one of `OPTIMIZATIONS`.
    """

    threads: int = 1
    optimization: str = OPTIMIZATIONS[0]


class Session(Protocol):
    """Runs a graph."""

    @property
    def provider(self) -> str:
        """What it really runs on: `cpu` or `cuda`."""
        ...

    def run(self, inputs: Mapping[str, Array], *, shrink: bool = False) -> dict[str, Array]:
        """All outputs by name, in memory of their own. Several threads may call it at the same time.

        With `shrink` it gives back afterwards what larger runs before this one needed.

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

    Args:
        graph: what is run instead of the file's content.

    Raises:
        SessionFailed: the graph cannot be loaded.
    """

    def __init__(self, model: Path, provider: str, options: Options, *, graph: bytes | None = None) -> None:
        settings = ort.SessionOptions()
        settings.intra_op_num_threads = options.threads
        settings.inter_op_num_threads = 1
        settings.graph_optimization_level = _LEVELS[options.optimization]
        settings.log_severity_level = _FATAL
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers: list[Any] = [CPU]
        if provider == "cuda":
            # TF32 would change answers beyond what the golden samples allow.
            providers = [(CUDA, {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}), CPU]
        try:
            self._session = ort.InferenceSession(graph or str(model), settings, providers=providers)
        except Exception as error:  # ONNX Runtime's errors have no common class
            raise SessionFailed(f"ONNX Runtime cannot load {model}: {first_line(error)}") from error
        self._outputs = [output.name for output in self._session.get_outputs()]
        self._shrinking = ort.RunOptions()
        self._shrinking.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

    @property
    def provider(self) -> str:
        running = str(self._session.get_providers()[0])
        return _SHORT.get(running, running)

    def run(self, inputs: Mapping[str, Array], *, shrink: bool = False) -> dict[str, Array]:
        try:
            outputs = self._session.run(self._outputs, inputs, self._shrinking if shrink else None)
        except Exception as error:  # ONNX Runtime's errors have no common class
            raise SessionFailed(f"The run failed: {first_line(error)}") from error
        return dict(zip(self._outputs, outputs, strict=True))

    def states(self, states: Sequence[State]) -> States:
        """The state of a model's streams, kept where its runs find it best."""
        return StateRows(states)

    def close(self) -> None:
        del self._session


def open_session(
    opened: Callable[[str], OnnxSession], asked: str, *, required: bool = False
) -> tuple[OnnxSession, Provider]:
    """A session on the provider that was asked for, or on the CPU with the reason why.

    Args:
        opened: a session on a provider, `cpu` or `cuda`.
        asked: `auto`, `cpu` or `cuda`; `auto` is CUDA where there is a device.
        required: an error, instead of the CPU, where CUDA was asked for and does not work.

    Raises:
        SessionFailed: the graph cannot be loaded.
        ProviderUnavailable: `required`, and it does not work here.
    """
    if asked == "cpu" or (asked == "auto" and not _has_device()):
        return opened("cpu"), Provider("cpu", asked)
    why = _why_no_cuda()
    if not why:
        session = opened("cuda")
        if session.provider == "cuda":
            return session, Provider("cuda", asked)
        # ONNX Runtime takes the CPU without an error; no such session serves in silence.
        session.close()
        why = _what_cuda_lacks()
    if required:
        raise ProviderUnavailable(
            f"CUDA is required and does not run here: {why}", hint="`vidserve doctor` says what is missing."
        )
    return opened("cpu"), Provider("cpu", asked, why)


def choose_provider(asked: str, *, required: bool, probe: Path) -> Provider:
    """What models will run on, found out with a session of the model `probe`.

    Raises:
        SessionFailed, ProviderUnavailable: as `open_session`.
    """
    session, provider = open_session(lambda on: OnnxSession(probe, on, Options()), asked, required=required)
    session.close()
    return provider


def _why_no_cuda() -> str:
    """What rules CUDA out without trying; empty where nothing does."""
    if CUDA not in ort.get_available_providers():
        return "this build of ONNX Runtime has no CUDA; install vidserve[gpu]."
    if not _has_device():
        return "no NVIDIA device is here."
    if hasattr(ort, "preload_dlls"):
        # It prints what it does not find.
        with contextlib.redirect_stdout(io.StringIO()) as said:
            ort.preload_dlls()
        if said.getvalue():
            _log.debug("loading CUDA's libraries: %s", said.getvalue().strip())
    return ""


def _what_cuda_lacks() -> str:
    library = Path(ort.__file__).parent / "capi" / "libonnxruntime_providers_cuda.so"
    try:
        ctypes.CDLL(str(library))
    except OSError as error:
        reason = str(error)
        # The loader names a library that it does not find; a symbol that only ONNX Runtime gives says nothing.
        if "undefined symbol" not in reason:
            return f"{reason}; install vidserve[gpu]."
    return "ONNX Runtime could not bring it up and took the CPU; its libraries do not fit the driver or each other."


def _has_device() -> bool:
    return any(Path("/dev").glob("nvidia[0-9]*"))


def first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
