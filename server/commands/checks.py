"""What `vidserve doctor` looks at, a function a thing: how it is, and what to do where it is not well."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import av
import cv2
import onnxruntime as ort

from model_export.bundle import Bundle
from model_export.errors import VidserveError
from model_export.repository import Repository
from server.commands.address import AddressRefused, PortTaken, listen
from server.core.keys import key_file
from server.core.loopback import is_loopback
from server.core.machine import cores, memory_bytes
from server.core.settings import Settings
from server.engine.session import choose_provider
from server.runtime.processes.folders import is_locked
from server.runtime.runtime import SHIPPED
from server.runtime.tensors.room import tensor_classes
from server.wire.memory import folder as memory_folder
from server.wire.slots import few_of, size_classes, slots_bytes

_MIB = 2**20
_LITTLE_MEMORY = 2 * 2**30
_LITTLE_SPACE = 2 * 2**30
_DECODERS = ("h264", "hevc", "vp9", "av1")


class Verdict(StrEnum):
    OK = "ok"
    WARN = "warn"
    """It works, but less well than it could."""
    FAIL = "fail"
    """The server cannot run."""


@dataclass(frozen=True)
class Finding:
    """How one thing is.

    Attributes:
        fix: what to do; empty where nothing is to be done.
    """

    name: str
    verdict: Verdict
    detail: str
    fix: str = ""


Check = Callable[[Settings], Finding]


def python(_: Settings) -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info >= (3, 11)
    return Finding(
        "Python",
        Verdict.OK if good else Verdict.FAIL,
        f"{found} at {sys.executable}",
        "" if good else "Use Python 3.11 or newer.",
    )


def machine_cores(_: Settings) -> Finding:
    mine, whole = cores(), os.cpu_count() or 1
    return Finding("cores", Verdict.OK, f"{mine}" if mine == whole else f"{mine} of the machine's {whole}")


def memory(_: Settings) -> Finding:
    mine = memory_bytes()
    little = mine < _LITTLE_MEMORY
    return Finding(
        "memory",
        Verdict.WARN if little else Verdict.OK,
        f"{mine / 2**30:.1f} GiB",
        "Give it at least 2 GiB, or lower [workers] count." if little else "",
    )


def shared_memory(settings: Settings) -> Finding:
    """Slots of all workers lie there, reserved at start, a few for the quarantine worker, and, once somebody sends
    tensors, those of /v2.
    """
    folder = memory_folder()
    classes = size_classes(settings.workers.shm_mb * _MIB)
    needed = settings.workers.count * slots_bytes(classes) + slots_bytes(few_of(classes))
    tensors = slots_bytes(tensor_classes(settings.v2.shm_mb * _MIB))
    free = shutil.disk_usage(folder).free
    detail = f"{free // _MIB} MiB free in {folder}, {needed // _MIB} MiB needed, {tensors // _MIB} more for /v2"
    if is_locked(settings.data):
        return Finding("shared memory", Verdict.OK, f"{detail}: the server of this data folder runs, and has its own")
    give = f"Start the container with --shm-size={2 * (needed + tensors) // _MIB}m"
    if free <= needed:
        return Finding("shared memory", Verdict.FAIL, detail, f"{give}, or lower [workers] count or shm_mb.")
    if free <= needed + tensors:
        return Finding("shared memory", Verdict.WARN, detail, f"For clients of /v2: {give}, or lower [v2] shm_mb.")
    return Finding("shared memory", Verdict.OK, detail)


def provider(settings: Settings) -> Finding:
    """Not what ONNX Runtime lists, but what a small model really runs on."""
    try:
        bundle = _small_model()
        chosen = choose_provider(settings.engine.provider, required=False, probe=bundle.model)
    except VidserveError as error:
        return Finding("ONNX Runtime", Verdict.FAIL, str(error), "Install vidserve again: its files are not whole.")
    listed = ", ".join(name.removesuffix("ExecutionProvider") for name in ort.get_available_providers())
    detail = f"{ort.__version__} has {listed}; asked for {chosen.asked}, runs on {chosen.name}"
    if not chosen.why:
        return Finding("ONNX Runtime", Verdict.OK, detail)
    verdict = Verdict.FAIL if settings.engine.require_provider else Verdict.WARN
    return Finding("ONNX Runtime", verdict, f"{detail}: {chosen.why}", _provider_fix())


def gpu(_: Settings) -> Finding:
    program = shutil.which("nvidia-smi")
    if program is None:
        return Finding("GPU", Verdict.OK, "none: no NVIDIA driver here (nvidia-smi is absent)")
    answer = subprocess.run(
        [program, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    if answer.returncode != 0:
        said = (answer.stderr or answer.stdout).strip().partition("\n")[0]
        return Finding("GPU", Verdict.WARN, f"nvidia-smi fails: {said}", "Mend the NVIDIA driver, or restart.")
    return Finding("GPU", Verdict.OK, "; ".join(answer.stdout.strip().splitlines()))


def decoders(_: Settings) -> Finding:
    missing = [name for name in _DECODERS if not _decodes(name)]
    ffmpeg = next(
        (line.split()[-1].strip("()") for line in cv2.getBuildInformation().splitlines() if "avcodec:" in line), "none"
    )
    detail = f"OpenCV {cv2.__version__} (avcodec {ffmpeg}), PyAV {av.__version__}: " + ", ".join(
        f"no {name}" if name in missing else name for name in _DECODERS
    )
    if ffmpeg == "none":
        return Finding("decoders", Verdict.FAIL, detail, "Install the wheel of opencv-python, which has FFmpeg in it.")
    return Finding(
        "decoders",
        Verdict.WARN if missing else Verdict.OK,
        detail,
        "Install the wheel of av, not a build of your own." if missing else "",
    )


def port(settings: Settings) -> Finding:
    try:
        listen(settings.host, settings.port).close()
    except AddressRefused as error:
        if isinstance(error, PortTaken) and is_locked(settings.data):
            where = f"{settings.host}:{settings.port} is taken: the server of this data folder runs"
            return Finding("port", Verdict.OK, where)
        return Finding("port", Verdict.FAIL, error.message, error.hint or "")
    where = f"{settings.host}:{settings.port} is free"
    if not is_loopback(settings.host):
        key = "that the settings give" if settings.admin_key else f"in {key_file(settings.data)}"
        return Finding("port", Verdict.OK, f"{where}; callers need the key {key}")
    return Finding("port", Verdict.OK, where)


def data_folder(settings: Settings) -> Finding:
    """The folder, or the one that it will be made in."""
    data = settings.data.absolute()
    there = next(path for path in (data, *data.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        return Finding(
            "data folder", Verdict.FAIL, f"{there} cannot be written: {error.strerror}", "Choose another: --data DIR."
        )
    free = shutil.disk_usage(there).free
    little = free < _LITTLE_SPACE
    state = "" if data.exists() else " (made at the first start)"
    return Finding(
        "data folder",
        Verdict.WARN if little else Verdict.OK,
        f"{data}{state}, {free / 2**30:.1f} GiB free",
        "Make room: videos are kept there." if little else "",
    )


def models(settings: Settings) -> Finding:
    """Which models there are, and whether those that are wanted are among them."""
    repository = Repository(settings.data / "models", shipped=SHIPPED)
    try:
        wanted = settings.engine.models or tuple(filter(None, [settings.engine.default_model]))
        for reference in wanted:
            repository.resolve(reference)
        entries = repository.entries()
    except VidserveError as error:
        return Finding("models", Verdict.FAIL, error.message, error.hint or "")
    broken = [f"{entry.name}@{entry.version}: {entry.problem}" for entry in entries if entry.bundle is None]
    detail = ", ".join(f"{entry.name}@{entry.version}" for entry in entries if entry.bundle is not None)
    if broken:
        return Finding("models", Verdict.WARN, f"{detail}; broken: {'; '.join(broken)}", "Import those again.")
    return Finding("models", Verdict.OK, detail)


CHECKS: tuple[Check, ...] = (
    python,
    machine_cores,
    memory,
    shared_memory,
    gpu,
    provider,
    decoders,
    models,
    data_folder,
    port,
)


def _small_model() -> Bundle:
    return Repository(SHIPPED).resolve("moving-objects")


def _provider_fix() -> str:
    if shutil.which("nvidia-smi") is None:
        return 'Install the NVIDIA driver, or set [engine] provider = "cpu".'
    return 'Install the CUDA libraries: pip install "vidserve[gpu]".'


def _decodes(codec: str) -> bool:
    try:
        return bool(av.Codec(codec, "r"))
    except av.codec.codec.UnknownCodecError:
        return False
