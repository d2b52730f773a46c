"""A sample's frames."""

from pathlib import Path

import numpy as np
import pytest
from data_builders import clip, picture, save

from model_export.errors import VideoUnreadable
from training.data.decoding import decode
from training.data.frame_spec import FrameSpec
from training.data.listing import Sample
from training.errors import DataInvalid


def sample(path: Path, **more) -> Sample:
    return Sample(path.name, path, 0, path.name, **more)


def spec(**more) -> FrameSpec:
    return FrameSpec(**({"width": 16, "height": 12, "resize": "stretch"} | more))


def greys(frames: np.ndarray) -> list[int]:
    """Of each frame, as numbers of the frames of `clip`."""
    return [round((float(frame.mean()) - 10) / 10) for frame in frames]


def test_a_picture_is_a_clip_of_one_frame_fitted_as_the_server_fits(tmp_path: Path) -> None:
    frames = decode(sample(save(tmp_path / "a.png", picture(60, 32, 12))), spec(resize="letterbox"))
    assert frames.shape == (1, 12, 16, 3)
    assert frames[0, 0, 0].tolist() == [114] * 3
    assert frames[0, 6, 8].tolist() == [60] * 3


def test_grey_frames_have_one_channel(tmp_path: Path) -> None:
    frames = decode(sample(save(tmp_path / "a.png", picture(60))), spec(channels=1))
    assert frames.shape == (1, 12, 16, 1)
    assert frames[0, 6, 8].tolist() == [60]


def test_a_box_is_cut_out(tmp_path: Path) -> None:
    frames = decode(sample(save(tmp_path / "a.png", picture(60)), box=(0, 0, 4, 4)), spec())
    assert (frames == 255).all()


def test_a_box_outside_of_its_picture_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match="lies outside of its picture"):
        decode(sample(save(tmp_path / "a.png", picture(60)), box=(90, 90, 95, 95)), spec())


def test_without_a_rate_frames_are_spread_over_the_whole_video(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", 20)
    assert greys(decode(sample(path), spec(frames=4))) == [2, 7, 12, 17]
    assert greys(decode(sample(path), spec(frames=1))) == [10]


def test_a_video_with_fewer_frames_gives_all_of_them(tmp_path: Path) -> None:
    assert greys(decode(sample(clip(tmp_path / "a.mp4", 3)), spec(frames=8))) == [0, 1, 2]


def test_a_rate_takes_frames_by_the_clock(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", 20, fps=10)
    assert greys(decode(sample(path), spec(frames=4, fps=5))) == list(range(0, 20, 2))


def test_a_cut_begins_and_ends_where_the_list_says(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", 20, fps=10)
    assert greys(decode(sample(path, start_s=0.5, end_s=1.0), spec(frames=4, fps=10))) == [5, 6, 7, 8, 9]


def test_a_long_video_is_thinned_out_evenly(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", 700, first=0)
    # Grey levels of so many frames begin anew, so only the number is looked at.
    assert len(decode(sample(path), spec(frames=5))) == 5


def test_a_cut_behind_the_end_has_no_frames(tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match="no frame between its start and its end"):
        decode(sample(clip(tmp_path / "a.mp4", 5), start_s=9.0), spec(frames=4))


def test_a_video_that_is_too_long_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match="longer than 1 seconds") as told:
        decode(sample(clip(tmp_path / "a.mp4", 20)), spec(frames=4, longest_s=1.0))
    assert "start_s and end_s" in str(told.value.hint)


@pytest.mark.parametrize(("name", "error"), [("a.png", DataInvalid), ("a.mp4", VideoUnreadable)])
def test_files_that_are_something_else_cannot_be_read(tmp_path: Path, name: str, error: type[Exception]) -> None:
    (tmp_path / name).write_bytes(b"this is neither a picture nor a video")
    with pytest.raises(error):
        decode(sample(tmp_path / name), spec())
