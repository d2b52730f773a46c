"""A source with bright spots on dark ground, and an engine that finds them: a detector and a background model."""

from __future__ import annotations

import cv2
import numpy as np
from worker_builders import Bench, FakeEngine, FakeSource

from model_export.manifest import FrameInput, Manifest, Provenance, Resize, State, Task, TensorSpec
from model_export.sampling import Sampler
from server.analytics.scene import Scene
from server.domain.analysis import Analysis
from server.wire.messages import GetState, InferDone, PutState, StateRows, TensorMeta
from server.worker.every_frame import EveryFrame
from server.worker.frames import FileFrames
from server.worker.gated import GatedFrames
from server.worker.publisher import Publisher
from server.worker.requests import Requests
from server.worker.walk import Walk

WIDTH, HEIGHT = 320, 192
FPS = 12
K = 8


def detector() -> Manifest:
    return Manifest(
        name="spots",
        version=1,
        task=Task.DETECT,
        family="test",
        input=FrameInput(width=WIDTH, height=WIDTH, align="top_left", pad=0),
        inputs=(TensorSpec(name="frames", dtype="uint8", shape=(None, WIDTH, WIDTH, 3)),),
        outputs=(
            TensorSpec(name="boxes", dtype="float32", shape=(None, K, 4)),
            TensorSpec(name="scores", dtype="float32", shape=(None, K)),
            TensorSpec(name="class_ids", dtype="int64", shape=(None, K)),
        ),
        labels=("spot",),
        provenance=Provenance(tool="test"),
    )


def background() -> Manifest:
    spec = FrameInput(width=80, height=48, resize=Resize.STRETCH)
    return Manifest(
        name="background",
        version=1,
        task=Task.MOTION,
        family="test",
        input=spec,
        inputs=(
            TensorSpec(name="frames", dtype="uint8", shape=(None, 48, 80, 3)),
            TensorSpec(name="before_in", dtype="uint8", shape=(None, 48, 80, 3)),
        ),
        outputs=(
            TensorSpec(name="foreground", dtype="uint8", shape=(None, 48, 80)),
            TensorSpec(name="before_out", dtype="uint8", shape=(None, 48, 80, 3)),
        ),
        labels=("moving",),
        state=(State(input="before_in", output="before_out", dtype="uint8", shape=(48, 80, 3)),),
        provenance=Provenance(tool="test"),
    )


class Spots(FakeSource):
    """`spots` gives the middles, x and y, of the bright squares of a frame."""

    def __init__(self, frames: int, spots, *, side: int = 16) -> None:
        super().__init__(frames)
        self._spots = spots
        self._side = side

    def grab(self) -> bool:
        more = super().grab()
        self.pts_s = self.index / FPS
        return more

    def retrieve(self, out=None):
        picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        half = self._side // 2
        for x, y in self._spots(self.index):
            picture[max(0, y - half) : y + half, max(0, x - half) : x + half] = 255
        return picture


class SpotEngine(FakeEngine):
    """Answers as both models, and counts what it was asked.

    Attributes:
        asked: inputs by model.
    """

    def __init__(self, context, address, *, failing: bool = False, **options) -> None:
        self.asked = {"spots@1": 0, "background@1": 0}
        self._before: dict[str, np.ndarray] = {}
        self._fails = failing
        super().__init__(context, address, **options)

    def _infer(self, ask):
        self.asked[ask.model] += 1
        frame = self._segments.array(ask.frame)
        if ask.model == "spots@1":
            if self._fails:
                return (InferDone(ask.stream, ask.seq, error="run_failed", message="told to fail"),)
            return self._boxes(ask, frame)
        before = self._before.get(ask.stream, np.zeros((48, 80, 3), np.uint8))
        mask = (cv2.absdiff(frame, before).max(axis=2) > 40).astype(np.uint8) * 255
        self._before[ask.stream] = frame.copy()
        if not before.any():
            mask[:] = 0
        return self._done(ask, {"foreground": cv2.dilate(mask, np.ones((5, 5), np.uint8))})

    def _boxes(self, ask, frame):
        found = cv2.connectedComponentsWithStats((frame[..., 0] > 128).astype(np.uint8), connectivity=8)[2][1:][:K]
        boxes, scores = np.zeros((K, 4), np.float32), np.zeros(K, np.float32)
        left, top, width, height = found[:, :4].T
        boxes[: len(found)] = np.stack([left, top, left + width, top + height], axis=1)
        scores[: len(found)] = 0.9
        n = int((scores >= ask.least).sum())
        return self._done(ask, {"boxes": boxes[:n], "scores": scores[:n], "class_ids": np.zeros(n, np.int64)})

    @staticmethod
    def _done(ask, outputs):
        metas = tuple(TensorMeta(name, value.dtype.name, value.shape) for name, value in outputs.items())
        return InferDone(ask.stream, ask.seq, metas, batch=1), [b"".join(value.tobytes() for value in outputs.values())]

    def _say(self, received):
        match received.message:
            case GetState(stream=stream):
                row = self._before.get(stream)
                self._router.send(
                    received.peer, StateRows(stream, row is not None), [] if row is None else [row.tobytes()]
                )
            case PutState(stream=stream):
                self._before[stream] = np.frombuffer(received.payload[0], np.uint8).reshape(48, 80, 3)
            case _:
                super()._say(received)


class GateBench(Bench):
    """Everything around a gated pipeline."""

    engine_kind = SpotEngine
    slot_bytes = 320 * 1024

    def gated(self, source, *, gate: bool = True, checkpoint_s: float = 1e9) -> Walk:
        self._attempts += 1
        identity = f"w.{self._attempts}"
        model, motion = detector(), background()
        requests = Requests(self.context, self.engine_address, identity, 1, "job", model, self.slots)
        asks = Requests(self.context, self.engine_address, f"{identity}.gate", 1, "job/gate", motion, self.slots)
        publisher = Publisher(self.context, self.api_address, identity, 1, job="job", attempt=self._attempts)
        self._sockets += [requests, asks, publisher]
        frames = FileFrames(source, Sampler(None), self.page.recorder(0), self.cancelled)
        feed = (
            GatedFrames(frames, model.input, requests, motion.input, asks, parts=True)
            if gate
            else EveryFrame(frames, model.input, requests)
        )
        return Walk(
            frames=frames,
            feed=feed,
            requests=requests,
            scene=Scene(model, Analysis(), owner="job"),
            publisher=publisher,
            checkpoint_s=checkpoint_s,
        )
