"""Single pictures: decoded, fitted, asked through the same engine and batcher, answered as one row."""

from __future__ import annotations

import logging
import queue
import time
from contextlib import closing, suppress
from functools import lru_cache
from pathlib import Path
from threading import Thread

import cv2
import msgspec
import numpy as np

from model_export.errors import VidserveError
from model_export.geometry import fit
from model_export.manifest import Manifest
from server.analytics.scene import Moment, Scene
from server.core.calls import Call, CallRow
from server.domain.analysis import Analysis
from server.wire.messages import Predict, Predicted
from server.wire.sockets import Dealer
from server.worker.requests import LOST, WITHDRAW_S, Outputs, Question, Requests
from server.worker.source import Frame
from server.worker.surroundings import Surroundings
from server.worker.talks import Talks

_log = logging.getLogger(__name__)

_PATIENCE_S = 30.0
_SILENCE_S = 5.0
"""Then the engine may be another one, which knows nothing of the picture."""


class PictureUnreadable(VidserveError):
    """The bytes are no picture that OpenCV reads."""

    code = "picture_unreadable"


class PictureTooLarge(VidserveError):
    """More pixels than the settings allow."""

    code = "picture_too_large"


class PredictFailed(VidserveError):
    """The engine gave no answer for the picture."""

    code = "predict_failed"


class Predictor:
    """Answers `Predict` messages on a few threads, so that pictures of several clients can share a batch."""

    def __init__(self, surroundings: Surroundings, threads: int = 4) -> None:
        self._around = surroundings
        self._orders: queue.SimpleQueue[tuple[Predict, bytes] | None] = queue.SimpleQueue()
        self._threads = [Thread(target=self._body, args=(f"predict-{n}",), daemon=True) for n in range(threads)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def put(self, order: Predict, picture: bytes) -> None:
        self._orders.put((order, picture))

    def stop(self) -> None:
        """End after the orders at hand."""
        for _ in self._threads:
            self._orders.put(None)

    def _body(self, name: str) -> None:
        around = self._around
        identity = f"{around.name}.{around.incarnation}.{name}"
        dealer = Dealer(around.context, around.api, identity, around.incarnation)
        talks = Talks(around, name)
        with closing(dealer) as api, closing(talks), around.rows.lent("") as row:
            while (item := self._orders.get()) is not None:
                order, picture = item
                try:
                    api.send(Predicted(order.request), [_row(order, picture, row, talks)])
                except VidserveError as error:
                    api.send(Predicted(order.request, error.code, str(error)))
                except Exception:  # the edge of a thread
                    _log.exception("predict failed")
                    api.send(Predicted(order.request, "internal_error", "The server made a mistake; see its log."))


def _row(order: Predict, picture: bytes, calls: CallRow, talks: Talks) -> bytes:
    manifest = _manifest_of(order.bundle)
    frame = _decoded(picture, calls)
    requests = talks.about(manifest, order.engine)
    requests.look_for(order.confidence)
    outputs = _outputs(requests, frame, manifest)
    height, width = frame.shape[:2]
    analysis = Analysis(confidence=order.confidence, labels=tuple(order.labels) if order.labels else None, track=False)
    scene = Scene(manifest, analysis, owner="")
    row, _ = scene.see(Moment(0, 0.0, width, height), scene.read(outputs))
    return msgspec.json.encode(row)


def _decoded(picture: bytes, calls: CallRow) -> Frame:
    try:
        with calls.inside(Call.PICTURE):
            decoded = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR) if picture else None
    except cv2.error as error:
        if "MAX_IMAGE_PIXELS" in error.err:
            raise PictureTooLarge(
                "The picture has more pixels than this server takes.",
                hint="Send a smaller one, or raise `[limits] pixels` in the settings.",
            ) from error
        decoded = None
    if decoded is None:
        raise PictureUnreadable(
            "These bytes are not a picture.", hint="Send a JPEG, PNG, WebP, BMP or TIFF file, not a video."
        )
    return np.asarray(decoded, np.uint8)


def _outputs(requests: Requests, frame: Frame, manifest: Manifest) -> Outputs:
    """What the model says of one picture; asked again if the engine ended meanwhile."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        _ask(requests, frame, manifest)
        answer = requests.await_answer(_SILENCE_S)
        if answer is None:
            requests.recall()
            answer = requests.await_answer(until - time.monotonic())
        if answer is None:
            requests.withdraw(WITHDRAW_S)
            raise PredictFailed("The engine does not answer.")
        if answer.outputs is not None:
            return answer.outputs
        if answer.error != LOST or time.monotonic() > until:
            raise PredictFailed(answer.message)


def _ask(requests: Requests, frame: Frame, manifest: Manifest) -> None:
    place = requests.await_place(manifest.ask_shape, _PATIENCE_S)
    if place is None:
        raise PredictFailed("No frame slot became free.", hint="Set workers.shm_mb higher.")
    slot, array = place
    assert manifest.input is not None
    if manifest.window is None:
        fit(frame, manifest.input, out=array)
    else:
        array[:] = fit(frame, manifest.input)  # a clip in which nothing happens
    requests.begin_anew()
    requests.ask([Question(slot)])


def _manifest_of(bundle: str) -> Manifest:
    path = Path(bundle) / "manifest.json"
    # A version that was removed may have been brought in anew as another one.
    with suppress(FileNotFoundError):
        return _read_manifest(path, path.stat().st_ino, path.stat().st_mtime_ns)
    return _read_manifest(path, 0, 0)


@lru_cache(maxsize=32)
def _read_manifest(path: Path, inode: int, mtime_ns: int) -> Manifest:
    manifest = Manifest.read(path)
    if manifest.input is None:
        raise PredictFailed(f"{manifest.id} has task tensor: it takes tensors, not pictures.")
    return manifest
