"""Every file that decoders stumble over, sent to a real server, against an independent reading by PyAV."""

import json
import sys
from pathlib import Path

import av
import av.error
import pytest

from model_export.importer import import_model
from model_export.repository import Repository

sys.path.insert(0, str(Path(__file__).parents[1] / "model_export"))

from model_builders import saved, yolox_like

FILES = {
    "av1_video.mkv": (640, 360),
    "avi_sample.avi": (960, 400),
    "corrupted.mp4": None,
    "h265_10bits.mp4": None,
    "hls_cea608_sd-hls0000000000.ts": (640, 360),
    "mkv_bbb_642x642_768kbps_30fps_vp9.webm": (642, 642),
    "mkv_sample_with_srt.mkv": None,
    "mp4_sample_fragmented.mp4": None,
    "mp4_sample_rotate_and_reflect.mp4": (720, 1080),
    "nasa_13013.mp4": (320, 180),
    "no_duration.webm": None,
    "video_90.mov": (320, 568),
    "video_with_failing_audio.mp4": (640, 360),
}


def times_by_pyav(path):
    """The presentation time of every frame that decodes, from the first picture, sorted; and a frame's size."""
    times, size = [], None
    with av.open(str(path), metadata_errors="replace") as container:
        stream = container.streams.video[0]
        begin = (container.start_time or 0) / av.time_base
        for packet in container.demux(stream):
            try:
                for frame in packet.decode():
                    times.append(frame.time - begin)
                    size = (frame.width, frame.height)
            except av.error.InvalidDataError:
                break
    return times, size


@pytest.fixture(scope="module")
def small(server, tmp_path_factory):
    """A model that takes next to no time: what it finds is of no interest here."""
    file = saved(yolox_like(), tmp_path_factory.mktemp("small"))
    import_model(
        file, family="yolox", name="small", labels=("a", "b", "c"), repository=Repository(server.data / "models")
    )
    return "small"


@pytest.mark.data
def test_every_file_is_listed(shared_data):
    assert {path.name for path in (shared_data / "formats").iterdir()} == set(FILES)


@pytest.mark.data
@pytest.mark.parametrize("name", FILES)
def test_a_file_gives_a_row_for_each_of_its_frames_at_its_time(server, small, shared_data, name):
    path = shared_data / "formats" / name
    times, size = times_by_pyav(path)
    job = server.wait(server.post(path, model=small))
    assert job["state"] == "done", job
    rows = [json.loads(line) for line in server.rows(job).splitlines()]
    assert job["frames"] == {"analysed": len(rows)}
    assert [row["frame"] for row in rows] == list(range(len(rows)))
    assert len(rows) == len(times)
    assert [row["pts_s"] for row in rows] == pytest.approx(times, abs=0.002)
    assert {(row["width"], row["height"]) for row in rows} == {FILES[name] or size}
    assert job["warnings"] == (["truncated"] if name == "corrupted.mp4" else [])
    assert job["progress"] == 1
