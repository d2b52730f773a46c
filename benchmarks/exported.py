"""A recurrent net as it is exported, frame by frame with a state, against the same net over a window of 16 frames that
is run again at every frame; both as ONNX, in ONNX Runtime on one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.stage import Stage
from benchmarks.table import Row, at_least, at_most, spread
from model_export.check import frames
from model_export.draft import Draft
from model_export.manifest import FrameInput, Provenance, State, Task
from model_export.playing import play
from model_export.repository import Repository
from model_export.session import Session
from model_export.torch_export import export
from training.border import InputConfig
from training.compose import compose
from training.export.bundling import FrameByFrame, carried
from training.net import Net

SIDE, WINDOW, LABELS = 112, 16, 5
FASTER = 8.0
PARITY = 1e-4
_STREAMS, _FRAMES = 2, 48


def rows(stage: Stage) -> Iterator[Row]:
    torch.manual_seed(0)
    net = compose("clip-gru", InputConfig(height=SIDE, width=SIDE, frames=WINDOW), LABELS).eval()
    clips = frames(FrameInput(width=SIDE, height=SIDE), _STREAMS, _FRAMES)
    streaming, windowed = _exported(net, clips, stage.data / "exported")
    state = carried(net)
    answers = np.stack([one["probabilities"] for one in play(streaming.run, clips, "frames", state)], axis=1)
    with torch.no_grad():
        expected = net.in_time(torch.from_numpy(clips)).softmax(-1).numpy()
        window = net(torch.from_numpy(clips[:, :WINDOW])).softmax(-1).numpy()
    yield at_most(
        "a recurrent net as a frame model against torch",
        float(np.abs(answers - expected).max()),
        PARITY,
        f"largest difference of a probability, {_FRAMES} frames of {_STREAMS} streams",
        digits=7,
    )
    again = windowed.run({"frames": clips[:, :WINDOW]})["probabilities"]
    yield at_most(
        "… and over a window",
        float(max(np.abs(again - window).max(), np.abs(again - answers[:, WINDOW - 1]).max())),
        PARITY,
        f"against torch, and against the frame model after {WINDOW} frames",
        digits=7,
    )
    by_frame, by_window = _seconds(streaming, windowed, clips, state, stage.runs)
    gain = median(slow / quick for slow, quick in zip(by_window, by_frame, strict=True))
    note = f"{spread(by_window, 'ms', digits=2)} → {spread(by_frame, 'ms', digits=2)} a frame"
    yield at_least(f"frame by frame against {WINDOW} frames again", gain, FASTER, note, unit="×", digits=1)


def _exported(net: Net, clips: npt.NDArray[np.uint8], folder: Path) -> tuple[Session, Session]:
    """The same net as a frame model, and as one that takes windows."""
    repository = Repository(folder)

    def draft(name: str, **said: object) -> Draft:
        usual = {"task": Task.CLASSIFY, "input": FrameInput(width=SIDE, height=SIDE), "logits": True}
        labels = tuple(f"label_{number}" for number in range(LABELS))
        return Draft(name=name, labels=labels, provenance=Provenance(tool="benchmarks"), **usual, **said)  # type: ignore[arg-type]

    streaming = export(FrameByFrame(net), draft("streaming", state=carried(net)), clips[:, :WINDOW], repository)
    windowed = export(net, draft("windowed", window=WINDOW), clips[:, :WINDOW], repository)
    return Session(streaming.model, name="streaming"), Session(windowed.model, name="windowed")


def _seconds(
    streaming: Session, windowed: Session, clips: npt.NDArray[np.uint8], state: tuple[State, ...], runs: int
) -> tuple[list[float], list[float]]:
    """Milliseconds a frame of each way, in turns, so that both see the same machine."""
    by_frame: list[float] = []
    by_window: list[float] = []
    first = clips[:1]
    for _ in range(runs + 1):
        spent = _spent(lambda: play(streaming.run, first, "frames", state))
        by_frame.append(spent / _FRAMES * 1e3)
        ends = range(WINDOW, _FRAMES, 4)
        spent = _spent(lambda: [windowed.run({"frames": first[:, end - WINDOW : end]}) for end in ends])  # noqa: B023
        by_window.append(spent / len(ends) * 1e3)
    return by_frame[1:], by_window[1:]  # the first of each warms up


def _spent(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
