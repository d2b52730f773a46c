"""What one video (or camera) shows, frame by frame: a model's outputs become objects in the source frame, objects
become tracks, tracks raise events. Pure: no clock, no thread, no I/O; the same frames give the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import UNSET, UnsetType

from model_export.geometry import place, to_source
from model_export.manifest import Manifest, Task
from model_export.predictions import Classes, Detections, Foreground, Prediction, read_outputs
from server.analytics.merging import Passing
from server.analytics.mosaic import Tile
from server.analytics.motion import boxes_of
from server.analytics.ranking import Ranking
from server.analytics.standing import Standing
from server.analytics.summary import Summary
from server.analytics.tracker import Tracker
from server.analytics.tracks import TrackChange, Tracks
from server.domain.analysis import Analysis
from server.domain.event import Event, EventType
from server.domain.result import ClassScore, Object, Row


class Moment(NamedTuple):
    """Which frame: its index in the source, its media time in seconds, the source's size in pixels; of a live source
    also the Unix seconds at which it was captured.
    """

    frame: int
    pts_s: float
    width: int
    height: int
    captured_s: float | None = None


class _State(msgspec.Struct, frozen=True):
    tracker: bytes
    passing: bytes
    standing: bytes
    tracks: bytes
    summary: bytes
    seq: int


_decoder = msgspec.msgpack.Decoder(_State)


class Scene:
    """The memory of one stream or job.

    Args:
        manifest: of the model whose outputs come.
        analysis: what is asked for.
        owner: job or stream; events are named after it.
        live: it is a stream.
        events_after: number of an event that came before the first.
        tracks_after: id of a track that came before the first.
    """

    def __init__(
        self,
        manifest: Manifest,
        analysis: Analysis,
        *,
        owner: str,
        live: bool = False,
        events_after: int = 0,
        tracks_after: int = 0,
    ) -> None:
        self._manifest = manifest
        self._confidence = analysis.confidence
        self._labels = frozenset(analysis.labels) if analysis.labels else None
        self._owner = owner
        self._live = live
        self._at: Moment | None = None
        tracked = analysis.track is not False and manifest.task in (Task.DETECT, Task.MOTION)
        self._tracker = Tracker(tracks_after) if tracked else None
        self._tracks_after = tracks_after
        self._passing = Passing()
        self._standing = Standing()
        self._tracks = Tracks()
        self._summary = Summary(tracked=tracked)
        self._ranking = Ranking(manifest, self._labels, analysis.confidence)
        self._seq = events_after

    @property
    def last_track(self) -> int:
        """The highest id that a track has been given so far."""
        return self._tracks_after if self._tracker is None else self._tracker.last_id

    def read(self, outputs: Mapping[str, npt.NDArray[Any]]) -> Prediction:
        """What the model says of one input."""
        return read_outputs(self._manifest, outputs, confidence=self._confidence)

    def see(self, moment: Moment, prediction: Prediction) -> tuple[Row, list[Event]]:
        """One frame as its row, with the events that it raised."""
        self._at = moment
        match prediction:
            case Detections() as detections:
                return self._see_objects(moment, self._in_source(moment, detections))
            case Foreground(mask=mask):
                return self._see_objects(moment, self._apart(moment, self._in_source(moment, self._moving(mask))))
            case Classes(probabilities=probabilities):
                return self._see_classes(moment, probabilities), []

    def glance(
        self, moment: Moment, prediction: Prediction | None, tiles: Sequence[Tile]
    ) -> tuple[Row, list[Event]] | None:
        """One frame of which a gate let parts pass, or nothing: elsewhere stands what was seen there last.

        Args:
            prediction: of an input that holds the frame's parts; None where the model was not asked.
            tiles: where on that input they lie; none: nothing moved.

        Returns:
            As `see`, or None where nothing has been seen at all yet.
        """
        if isinstance(prediction, Foreground):
            raise ValueError("what looks for motion itself has no gate")
        sight = self._standing.look(prediction, tiles)
        if sight is None:
            return None
        row, events = self.see(moment, sight)
        return (row if tiles else msgspec.structs.replace(row, gated=True)), events

    def end(self) -> list[Event]:
        """The source is over: what is still tracked ends where it was last seen."""
        return [self._event(change) for change in self._tracks.end()]

    def break_off(self) -> list[Event]:
        """From the next frame on the picture is another one, as after a change of its size: tracks end, and what stood
        is forgotten.
        """
        if self._tracker is not None:
            self._tracker.forget()
        self._passing = Passing()
        self._standing = Standing()
        return self.end()

    def succeed(self, before: Scene) -> list[Event]:
        """Go on where the scene of another analysis of the same source was. Tracks live on unless the labels are other
        ones, or nothing is tracked any more; ids and numbers of events go on in any case.
        """
        same = self._manifest.labels == before._manifest.labels and self._manifest.task is before._manifest.task
        events: list[Event] = []
        if before._tracker is not None and not (same and self._tracker is not None):
            events = before.break_off()
        elif same and self._manifest.id != before._manifest.id:
            before._standing = Standing()
        self._tracks_after = before.last_track
        if self._tracker is not None and before._tracker is not None:
            self._tracker.restore(before._tracker.state())
        elif self._tracker is not None:
            self._tracker = Tracker(self._tracks_after)
        self._passing, self._standing, self._tracks = before._passing, before._standing, before._tracks
        self._at, self._seq = before._at, before._seq
        return events

    def summary(self) -> dict[str, dict[str, float | int]]:
        """What was seen so far, as `LabelSummary` says, by label."""
        return self._summary.result()

    def state(self) -> bytes:
        """All that this scene remembers."""
        tracker = self._tracker.state() if self._tracker else b""
        parts = tracker, self._passing.state(), self._standing.state(), self._tracks.state(), self._summary.state()
        return msgspec.msgpack.encode(_State(*parts, self._seq))

    def restore(self, state: bytes) -> None:
        """Remember what another scene of the same model and analysis did."""
        saved = _decoder.decode(state)
        if self._tracker:
            self._tracker.restore(saved.tracker)
        self._passing.restore(saved.passing)
        self._standing.restore(saved.standing)
        self._tracks.restore(saved.tracks)
        self._summary.restore(saved.summary)
        self._seq = saved.seq

    def _in_source(self, moment: Moment, detections: Detections) -> Detections:
        """Boxes of the model's input in pixels of the source frame, without those that lie outside it."""
        assert self._manifest.input is not None
        if not len(detections):
            return detections
        placement = place(self._manifest.input, moment.width, moment.height)
        moved = detections.with_boxes(to_source(detections.xyxy, placement))
        inside = moved.xyxy[:, 2:] > moved.xyxy[:, :2]
        return moved if inside.all() else moved.take(inside[:, 0] & inside[:, 1])

    def _moving(self, mask: npt.NDArray[np.uint8]) -> Detections:
        """What moves, in pixels of the model's input."""
        assert self._manifest.input is not None
        found = boxes_of(mask, width=self._manifest.input.width, height=self._manifest.input.height)
        if self._confidence is None:
            return found
        return found.take(found.scores >= self._confidence)

    def _apart(self, moment: Moment, found: Detections) -> Detections:
        """Who passes somebody makes one blob with them; their tracks tell them apart."""
        if self._tracker is None:
            return found
        return self._passing.separate(found, *self._tracker.expected(moment.pts_s), moment.pts_s)

    def _event(self, change: TrackChange) -> Event:
        self._seq += 1
        return Event(
            id=f"{self._owner}-{self._seq}",
            seq=self._seq,
            type=change.type,
            job=UNSET if self._live else self._owner,
            stream=self._owner if self._live else UNSET,
            track_id=change.track_id,
            label=change.label,
            confidence=change.confidence,
            value=UNSET if change.value is None else change.value,
            pts_s=round(change.pts_s, 6),
            captured_at=self._captured_at(change.pts_s) or UNSET,
        )

    def _captured_at(self, pts_s: float) -> str | None:
        """RFC 3339 of a media time near the frame at hand; None where there is none to go by."""
        if self._at is None or self._at.captured_s is None:
            return None
        moment = datetime.fromtimestamp(self._at.captured_s + pts_s - self._at.pts_s, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _see_objects(self, moment: Moment, found: Detections) -> tuple[Row, list[Event]]:
        if self._labels is not None and len(found):
            wanted = [self._manifest.label(class_id) in self._labels for class_id in found.class_ids.tolist()]
            found = found.take(np.array(wanted, np.bool_))
        class_ids = found.class_ids.tolist()
        names = [self._manifest.label(class_id) for class_id in class_ids]
        confidences = [round(score, 4) for score in found.scores.tolist()]
        ids = [-1] * len(found)
        events: list[Event] = []
        self._summary.see(moment.pts_s, names)
        if self._tracker is not None:
            ids = self._tracker.update(found, moment.pts_s).tolist()
            for change in self._tracks.update(ids, names, confidences, moment.pts_s, self._tracker.patience_s):
                events.append(self._event(change))
                if change.type is EventType.TRACK_STARTED:
                    self._summary.track(change.label)
        boxes = found.xyxy.astype(np.float64).round(2).tolist()
        objects = [
            Object(
                track_id=track if track > 0 else UNSET,
                label=name,
                class_id=class_id,
                confidence=confidence,
                box=tuple(box),
            )
            for track, name, class_id, confidence, box in zip(ids, names, class_ids, confidences, boxes, strict=True)
        ]
        return self._row(moment, objects=objects, events=events), events

    def _see_classes(self, moment: Moment, probabilities: npt.NDArray[np.float32]) -> Row:
        """The labels of one frame, as `Ranking` says."""
        ranked = self._ranking.of(probabilities)
        label = self._manifest.label
        scores = [ClassScore(label(index), round(float(probabilities[index]), 4)) for index in ranked.shown.tolist()]
        self._summary.see(moment.pts_s, [label(index) for index in ranked.found.tolist()])
        return self._row(moment, classes=scores)

    def _row(
        self,
        moment: Moment,
        *,
        objects: list[Object] | UnsetType = UNSET,
        classes: list[ClassScore] | UnsetType = UNSET,
        events: Sequence[Event] = (),
    ) -> Row:
        return Row(
            frame=moment.frame,
            pts_s=round(moment.pts_s, 6),
            captured_at=self._captured_at(moment.pts_s),
            width=moment.width,
            height=moment.height,
            model=self._manifest.id,
            objects=objects,
            classes=classes,
            events=[event.seq for event in events] or UNSET,
        )
