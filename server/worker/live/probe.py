"""Trying a source: opened, looked at for a moment, closed."""

from __future__ import annotations

import logging
import time
from contextlib import closing
from threading import Thread

import cv2
import numpy as np

from model_export.errors import VidserveError
from server.core.calls import Call, CallRow
from server.domain.stream import SOURCE
from server.wire.messages import Probe, Probed
from server.wire.sockets import Dealer
from server.worker.live.clocks import MediaClock
from server.worker.live.connection import Connection, Shot
from server.worker.live.errors import SourceError, SourceNotVideo
from server.worker.live.pictures import Pictures
from server.worker.surroundings import Surroundings

_log = logging.getLogger(__name__)

_LOOK_S = 2.0
_ENOUGH = 12
_QUALITY = 85


def start_probe(order: Probe, around: Surroundings) -> None:
    """Answer with `Probed`, from a thread of its own: a source may take as long as its own patience."""
    Thread(target=_body, args=(order, around), name=f"probe-{order.request}", daemon=True).start()


def _body(order: Probe, around: Surroundings) -> None:
    identity = f"{around.name}.{around.incarnation}.probe-{order.request}"
    api = Dealer(around.context, around.api, identity, around.incarnation)
    with closing(api), around.rows.lent("") as row:
        try:
            api.send(*_probe(order, around, row))
        except VidserveError as error:
            api.send(Probed(order.request, error.code, str(error)))
        except Exception:  # the edge of a thread
            _log.exception("probe failed")
            api.send(Probed(order.request, "internal_error", "The server made a mistake; its log says which."))


def _probe(order: Probe, around: Surroundings, row: CallRow) -> tuple[Probed, list[bytes]]:
    source = SOURCE.decode(order.source)
    with closing(around.open_live(source, row)) as connection:
        shot, fps = _look(connection, row)
        with row.inside(Call.PICTURE):
            picture = Pictures().of(shot.image, shot.turned)
            good, jpeg = (
                (False, np.empty(0, np.uint8))
                if picture is None
                else cv2.imencode(".jpg", np.ascontiguousarray(picture), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
            )
        if picture is None or not good:
            raise SourceNotVideo("Its frames cannot be made into pictures.")
        height, width = picture.shape[:2]
        return Probed(order.request, codec=connection.codec, width=width, height=height, fps=fps), [jpeg.tobytes()]


def _look(connection: Connection, row: CallRow) -> tuple[Shot, float | None]:
    """A frame, and frames a second: as declared, else as measured over the first few."""
    clock = MediaClock()
    first: Shot | None = None
    moments: list[float] = []
    until = time.monotonic() + _LOOK_S
    while first is None or (connection.fps is None and len(moments) < _ENOUGH and time.monotonic() < until):
        try:
            with row.inside(Call.READ):
                shot = connection.grab()
        except SourceError:
            if first is None:
                raise
            break
        if shot is not None:
            first = first or shot
            moments.append(clock.next(shot.stamp_s, shot.arrived)[0])
    if connection.fps is not None:
        return first, round(connection.fps, 3)
    lasted_s = moments[-1] - moments[0]
    return first, round((len(moments) - 1) / lasted_s, 2) if lasted_s > 0 else None
