"""Which frames a model is shown, and as what."""

from __future__ import annotations

from model_export.errors import VidserveError
from model_export.manifest import Manifest
from server.domain.analysis import Analysis
from server.worker.every_frame import EveryFrame
from server.worker.frames import Feed, Frames
from server.worker.requests import Requests
from server.worker.windows import Windows


def ungated(frames: Frames, manifest: Manifest, analysis: Analysis, requests: Requests, *, live: bool = False) -> Feed:
    """What shows a model all wanted frames: one by one, or as clips.

    Raises:
        VidserveError: the model takes no frames.
    """
    if manifest.input is None:
        raise VidserveError(f"{manifest.id} has task tensor: it takes tensors, not video.")
    if manifest.window is None:
        return EveryFrame(frames, manifest.input, requests)
    # Where the model has no rate of its own, frames come at the rate that is asked for already.
    fps = analysis.sample_fps if manifest.fps else None
    return Windows(frames, manifest.input, manifest.window, requests, fps=fps, live=live)
