"""A rendered scene as files: a video that a browser plays, and the true tracks beside it."""

from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path

import av

from training.data.scenes import Scene, TrueBox

COLUMNS = ("frame", "track_id", "label", "x1", "y1", "x2", "y2", "visible")
"""Frames from 0; boxes in pixels; `visible` is the part that is in the picture and behind nobody, 0…1."""


def tracks_path(video: Path) -> Path:
    """Where the true tracks of a video lie: `street.mp4` → `street.tracks.csv`."""
    return video.with_suffix(".tracks.csv")


def record(scene: Scene, video: Path, *, crf: int = 23) -> None:
    """Write the video (H.264, yuv420p, index in front) and its tracks.

    Args:
        video: the file to write; its folder must exist. The tracks go to `tracks_path(video)`.
        crf: quality as x264 counts it; lower is better and larger.
    """
    with av.open(str(video), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(scene.fps).limit_denominator(1001))
        stream.width, stream.height = scene.width, scene.height
        stream.pix_fmt = "yuv420p"
        # One thread, so that the same release of the encoder writes the same bytes everywhere.
        stream.options = {"crf": str(crf), "preset": "slow", "threads": "1"}
        for picture in scene.frames():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))
    write_tracks(scene.truth(), tracks_path(video))


def write_tracks(boxes: list[TrueBox], path: Path) -> None:
    """Write true boxes as CSV with the header `COLUMNS`."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((box.frame, box.id, box.label, *box.xyxy, box.visible) for box in boxes)


def read_tracks(path: Path) -> list[TrueBox]:
    """Read what `write_tracks` wrote."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            TrueBox(
                frame=int(row["frame"]),
                id=int(row["track_id"]),
                label="car" if row["label"] == "car" else "person",
                xyxy=(float(row["x1"]), float(row["y1"]), float(row["x2"]), float(row["y2"])),
                visible=float(row["visible"]),
            )
            for row in csv.DictReader(file)
        ]
