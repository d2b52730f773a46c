from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from video_builders import small_video

from model_export.video import open_video


def with_a_wrong_time(path: Path, *, frame: int) -> Path:
    """An MPEG-TS of `small_video` in which one bit of a frame's time is another: 2³¹ ticks, 6.6 hours."""
    file = bytearray(small_video(path).read_bytes())
    at = -1
    for _ in range(frame + 1):
        at = file.index(b"\0\0\1\xe0", at + 1)
    file[at + 9] ^= 0x04
    path.write_bytes(file)
    return path


@pytest.mark.parametrize("frame", [5, 11])
def test_a_single_wrong_time_moves_no_other_and_ends_no_video(tmp_path: Path, frame: int) -> None:
    with open_video(with_a_wrong_time(tmp_path / "v.ts", frame=frame), max_s=600) as video:
        greys = []
        times = []
        while video.grab():
            picture = video.retrieve()
            assert picture is not None
            greys.append(picture.mean())
            times.append(video.pts_s)
        assert video.exceeded is None
        assert not video.truncated
    assert times == pytest.approx([number / 10 for number in range(12)], abs=0.001)
    assert greys == pytest.approx([10 * number for number in range(12)], abs=5)


@pytest.mark.parametrize("name", ["v.mkv", "v.mp4"])
def test_gaps_stay_where_they_are_and_frames_keep_their_pictures(tmp_path: Path, name: str) -> None:
    expected = [0.0, 0.1, 60.0, 60.1, 90.0]
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number, time_s in enumerate(expected):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 40 * number, np.uint8), "bgr24")
            frame.pts, frame.time_base = round(time_s * 10), Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    out = np.empty((48, 64, 3), np.uint8)
    with open_video(tmp_path / name) as video:
        for number, time_s in enumerate(expected):
            assert video.grab()
            assert (video.index, video.pts_s) == (number, pytest.approx(time_s, abs=0.001))
            picture = video.retrieve(out)
            assert picture is not None
            assert picture.mean() == pytest.approx(40 * number, abs=8)
        assert not video.grab()
        assert not video.grab()
        assert not video.truncated
