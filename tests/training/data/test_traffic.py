"""Drawn traffic, and the sample video that ships with the server."""

from pathlib import Path

import av
import cv2
import numpy as np

from training.data.recording import read_tracks, record, tracks_path, write_tracks
from training.data.traffic import busy_street

SAMPLE = Path(__file__).parents[3] / "server" / "samples" / "street.mp4"


def test_a_busy_street_has_cars_and_walkers_both_ways() -> None:
    ways = {(actor.label, actor.path[-1].x > actor.path[0].x) for actor in busy_street().actors}
    assert ways == {("car", True), ("car", False), ("person", True), ("person", False)}


def test_another_seed_draws_other_traffic() -> None:
    assert busy_street(seed=1) == busy_street(seed=1)
    assert busy_street(seed=1).actors != busy_street(seed=2).actors


def test_a_recording_can_be_read_back(tmp_path: Path) -> None:
    street = busy_street(seconds=8.0, width=320, height=180)
    record(street, tmp_path / "street.mp4")
    assert read_tracks(tmp_path / "street.tracks.csv") == street.truth()
    with av.open(str(tmp_path / "street.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == street.frame_count


def test_the_shipped_tracks_are_what_the_renderer_says(tmp_path: Path) -> None:
    write_tracks(busy_street().truth(), tmp_path / "tracks.csv")
    assert tracks_path(SAMPLE).read_bytes() == (tmp_path / "tracks.csv").read_bytes()


def test_the_shipped_video_is_the_rendered_street() -> None:
    street = busy_street()
    assert SAMPLE.stat().st_size <= 2_000_000
    with av.open(str(SAMPLE)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert float(stream.average_rate or 0) == street.fps
    capture = cv2.VideoCapture(str(SAMPLE))
    count = 0
    for picture in street.frames():
        there, frame = capture.read()
        assert there
        assert np.abs(frame.astype(np.int16) - picture).mean() < 6
        count += 1
    assert count == street.frame_count
    assert not capture.read()[0]
