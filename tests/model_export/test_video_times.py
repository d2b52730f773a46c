from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from video_builders import small_video, times_of

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


def avi_with_frames_left_out(path: Path, shown: list[int], *, codec: str, rate: int = 10) -> Path:
    """With B-frames: what comes at a tick is not the picture that is shown then. `shown`: ticks that have a picture."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(rate), options={"bf": "2", "b-adapt": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in shown:
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 5 * number % 250, np.uint8), "bgr24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
@pytest.mark.parametrize(
    "shown",
    [[*range(5), *range(15, 30)], [0, 1, 2, *range(20, 25), *range(40, 45)], list(range(0, 40, 4))],
    ids=["gap", "gaps", "few"],
)
def test_frames_that_were_left_out_of_an_avi_with_b_frames_are_counted_too(
    tmp_path: Path, codec: str, shown: list[int]
) -> None:
    with open_video(avi_with_frames_left_out(tmp_path / "v.avi", shown, codec=codec)) as video:
        assert times_of(video) == pytest.approx([number / 10 for number in shown])
        assert not video.truncated


def test_frames_that_another_program_than_ffmpeg_left_out_may_be_missed_where_a_gap_begins_only(tmp_path: Path) -> None:
    shown = [*range(10), *range(25, 40)]
    file = avi_with_frames_left_out(tmp_path / "v.avi", shown, codec="mpeg4")
    file.write_bytes(file.read_bytes().replace(b"Lavf", b"Xyzf"))
    with open_video(file) as video:
        times = times_of(video)
        assert not video.truncated
    wrong = [number for number, time_s in zip(shown, times, strict=True) if abs(time_s - number / 10) > 0.001]
    assert wrong == [25]


def test_an_avi_with_b_frames_that_is_cut_off_and_lost_its_index_is_counted_and_says_so(tmp_path: Path) -> None:
    file = avi_with_frames_left_out(tmp_path / "v.avi", [*range(30), *range(60, 90)], codec="mpeg4")
    whole = file.read_bytes()
    file.write_bytes(whole[: whole.index(b"idx1") - 500])
    with open_video(file) as video:
        times = times_of(video)
        assert times[:30] == pytest.approx([number / 10 for number in range(30)])
        assert video.truncated
