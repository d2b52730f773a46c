from __future__ import annotations

import os
import shutil
import subprocess
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import av.error
import cv2
import numpy as np
import pytest
from video_builders import small_video, times_of

from model_export.errors import VideoTooLarge, VideoTooLong, VideoUnreadable
from model_export.video import open_video

FORMATS = [
    "av1_video.mkv",
    "avi_sample.avi",
    "h265_10bits.mp4",
    "hls_cea608_sd-hls0000000000.ts",
    "mkv_bbb_642x642_768kbps_30fps_vp9.webm",
    "mkv_sample_with_srt.mkv",
    "mp4_sample_fragmented.mp4",
    "mp4_sample_rotate_and_reflect.mp4",
    "nasa_13013.mp4",
    "no_duration.webm",
    "video_90.mov",
    "video_with_failing_audio.mp4",
]
VIDEOS = [
    "bottle-detection.mp4",
    "bridge.mp4",
    "car-detection.mp4",
    "motorway.mp4",
    "road-1.avi",
    "road-2.avi",
    "street.mp4",
    "vtest.avi",
    "classroom.gif",
]
# B-frames in AVI: what PyAV says of their times does not rise.
WITHOUT_TIMES = {"road-2.avi", "vtest.avi"}


def decoded_by_pyav(path: Path) -> list[float | None]:
    """The time of every frame that PyAV decodes, errors passed over."""
    times: list[float | None] = []
    with av.open(str(path)) as container:
        for packet in container.demux(container.streams.video[0]):
            try:
                times += [frame.time for frame in packet.decode()]
            except av.error.InvalidDataError:
                continue
    return times


@pytest.mark.data
@pytest.mark.parametrize("name", [f"formats/{name}" for name in FORMATS] + [f"videos/{name}" for name in VIDEOS])
def test_every_frame_is_read_at_its_time(shared_data: Path, name: str) -> None:
    expected = decoded_by_pyav(shared_data / name)
    with open_video(shared_data / name) as video:
        times = times_of(video)
        assert not video.truncated
    assert len(times) == len(expected)
    assert 0 <= times[0] < 2
    assert all(later > earlier for earlier, later in pairwise(times))
    if Path(name).name not in WITHOUT_TIMES:
        assert times == pytest.approx(expected, abs=0.001)


@pytest.mark.data
def test_frames_of_an_avi_with_b_frames_are_counted(shared_data: Path) -> None:
    with open_video(shared_data / "videos/vtest.avi") as video:
        assert times_of(video) == pytest.approx([number / 10 for number in range(795)])


@pytest.mark.data
@pytest.mark.slow
def test_a_large_video_is_read_to_its_end(shared_data: Path) -> None:
    with open_video(shared_data / "videos/shop.mp4", threads=2) as video:
        assert times_of(video) == pytest.approx([number / 30 for number in range(603)], abs=0.001)


@pytest.mark.data
def test_a_damaged_video_ends_there_and_says_so(shared_data: Path) -> None:
    with open_video(shared_data / "formats/corrupted.mp4") as video:
        assert len(times_of(video)) == 28
        assert video.truncated


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "size_wh"),
    [("video_90.mov", (320, 568)), ("mp4_sample_rotate_and_reflect.mp4", (720, 1080)), ("av1_video.mkv", (640, 360))],
)
def test_width_and_height_are_those_of_the_frames(shared_data: Path, name: str, size_wh: tuple[int, int]) -> None:
    with open_video(shared_data / "formats" / name) as video:
        assert video.grab()
        frame = video.retrieve()
        assert frame is not None
        assert (video.width, video.height) == size_wh == frame.shape[1::-1]


@pytest.mark.data
def test_a_mirrored_video_is_turned_and_mirrored(shared_data: Path) -> None:
    path = shared_data / "formats/mp4_sample_rotate_and_reflect.mp4"
    with av.open(str(path)) as container:
        coded = next(container.decode(video=0)).to_ndarray(format="bgr24")
    with open_video(path) as video:
        assert video.grab()
        np.testing.assert_array_equal(video.retrieve(), coded.transpose(1, 0, 2))


@pytest.mark.data
def test_what_opencv_cannot_decode_is_read_all_the_same(shared_data: Path) -> None:
    with open_video(shared_data / "formats/av1_video.mkv") as video:
        assert video.grab()
        frame = video.retrieve()
        assert frame is not None
        assert frame.std() > 10


def test_frames_come_in_order_with_index_and_picture(tmp_path: Path) -> None:
    with open_video(small_video(tmp_path / "v.mp4", frames=5)) as video:
        assert video.index == -1
        for number in range(5):
            assert video.grab()
            frame = video.retrieve()
            assert frame is not None
            assert video.index == number
            assert video.pts_s == pytest.approx(number / 10)
            assert frame.mean() == pytest.approx(10 * number, abs=3)
        assert not video.grab()
        assert not video.truncated


def test_a_frame_is_written_into_the_array_that_is_given(tmp_path: Path) -> None:
    out = np.empty((48, 64, 3), np.uint8)
    with open_video(small_video(tmp_path / "v.mp4")) as video:
        assert video.grab()
        assert video.retrieve(out) is out


@pytest.mark.parametrize(("degrees", "clockwise"), [(-90, 1), (180, 2), (90, 3)])
def test_both_decoders_turn_frames_alike(tmp_path: Path, degrees: int, clockwise: int) -> None:
    path = tmp_path / "turned.mp4"
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:24, :32] = 200
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_rotation(degrees)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
        container.mux(stream.encode())
    with open_video(path) as video:
        assert video.grab()
        frame = video.retrieve()
        assert frame is not None
        np.testing.assert_allclose(frame, np.rot90(picture, -clockwise), atol=40)


ONE = 1 << 16
MATRICES = {
    "upright": (1, 0, 0, 1),
    "mirrored top to bottom": (1, 0, 0, -1),
    "mirrored left to right": (-1, 0, 0, 1),
    "upside down": (-1, 0, 0, -1),
    "transposed": (0, 1, 1, 0),
}


@pytest.mark.parametrize(
    ("name", "way"),
    [(name, way) for name in ("v.mp4", "v.mov") for way in MATRICES] + [("v.mkv", "mirrored top to bottom")],
)
def test_frames_are_turned_and_mirrored_as_the_container_says(tmp_path: Path, name: str, way: str) -> None:
    """x' = a x + c y, y' = b x + d y."""
    a, b, c, d = MATRICES[way]
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:24, :32], picture[:24, 32:], picture[24:, :32] = 200, 150, 100
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_matrix([a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30])
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
        container.mux(stream.encode())
    expected = picture.transpose(1, 0, 2) if b else picture
    expected = expected[:: b + d, :: a + c]
    with open_video(tmp_path / name) as video:
        assert video.grab()
        frame = video.retrieve()
        assert frame is not None
        np.testing.assert_allclose(frame, expected, atol=40)


def test_a_camera_that_writes_exif_into_its_frames_is_turned_all_the_same(tmp_path: Path) -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x0f\x01\x02\0\x04\0\0\0cam\0\0\0\0\0"
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:24, :32] = 200
    jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
    jpeg = jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]
    path = tmp_path / "camera.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        stream.set_display_rotation(-90)
        packet = av.Packet(jpeg)
        packet.stream, packet.pts, packet.dts, packet.time_base = stream, 0, 0, Fraction(1, 10)
        container.mux(packet)
    with open_video(path) as video:
        assert video.grab()
        frame = video.retrieve()
        assert frame is not None
        np.testing.assert_allclose(frame, np.rot90(picture, -1), atol=40)


def test_a_file_cut_off_says_so(tmp_path: Path) -> None:
    whole = small_video(tmp_path / "v.mkv", frames=40, codec="mpeg4").read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole[: len(whole) // 2])
    with open_video(cut) as video:
        assert 0 < len(times_of(video)) < 40
        assert video.truncated


@pytest.mark.parametrize("name", ["v.avi", "v.mkv"])
def test_a_file_cut_off_with_sound_in_it_says_so(tmp_path: Path, name: str) -> None:
    """The length of the whole may be the sound's; but some containers say more, each in its way."""
    with av.open(str(tmp_path / name), "w") as container:
        pictures = container.add_stream("mpeg4", rate=Fraction(10))
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("mp2", rate=32000, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.int16), format="s16", layout="mono")
        silence.sample_rate = 32000
        for number in range(40):
            noise = np.random.default_rng(number).integers(0, 255, (48, 64, 3), np.uint8)
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(noise, "bgr24")))
            container.mux(sound.encode(silence))
        container.mux(pictures.encode())
        container.mux(sound.encode())
    with open_video(tmp_path / name) as video:
        assert len(times_of(video)) == 40
        assert not video.truncated
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with open_video(tmp_path / name) as video:
        assert 0 < len(times_of(video)) < 30
        assert video.truncated


@pytest.mark.parametrize(
    ("name", "codec"),
    [("v.mp4", "mpeg4"), ("v.avi", "mpeg4"), ("v.avi", "ffv1"), ("v.mkv", "libx264"), ("v.ts", "libx264")],
)
def test_frames_with_more_pixels_than_allowed_are_refused(tmp_path: Path, name: str, codec: str) -> None:
    video = small_video(tmp_path / name, codec=codec)
    open_video(video, max_pixels=64 * 48).close()
    with pytest.raises(VideoTooLarge, match="64×48") as caught:
        open_video(video, max_pixels=64 * 48 - 1)
    assert caught.value.code == "video_too_large"
    assert caught.value.hint


def test_a_container_that_makes_its_frames_smaller_than_they_are_is_not_believed(tmp_path: Path) -> None:
    file = bytearray(small_video(tmp_path / "v.mp4").read_bytes())
    size_at = file.index(b"mp4v") + 28
    assert file[size_at : size_at + 4] == b"\0\x40\0\x30"
    file[size_at : size_at + 4] = b"\0\x10\0\x10"
    (tmp_path / "v.mp4").write_bytes(file)
    with pytest.raises(VideoTooLarge, match="64×48"):
        open_video(tmp_path / "v.mp4", max_pixels=1000)


def test_frames_that_are_too_large_are_refused_without_making_room_for_them(tmp_path: Path) -> None:
    """A file of 200 kB may unfold into frames of hundreds of megabytes."""
    video = small_video(tmp_path / "v.mp4", frames=1, codec="libx264", size_wh=(8192, 8192))
    code = "import resource, sys; from pathlib import Path; from model_export.errors import VideoTooLarge; "
    code += "from model_export.video import open_video; before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
    code += "try: open_video(Path(sys.argv[1]), max_pixels=8192 * 4320)\n"
    code += "except VideoTooLarge: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    grown = subprocess.run([sys.executable, "-c", code, video], check=True, capture_output=True, text=True).stdout
    assert int(grown) * (1024 if sys.platform == "linux" else 1) < 8192 * 8192  # a quarter of what a picture of it has


def test_a_video_that_grows_on_its_way_keeps_the_size_of_its_first_frames(tmp_path: Path) -> None:
    parts = [small_video(tmp_path / "a.mkv", frames=3), small_video(tmp_path / "b.mkv", frames=3, size_wh=(640, 480))]
    joined = tmp_path / "joined.avi"
    with av.open(str(joined), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        number = 0
        for part in parts:
            with av.open(str(part)) as source:
                head = source.streams.video[0].codec_context.extradata or b""
                for packet in source.demux(video=0):
                    if packet.size:
                        # As a stream of its own would begin: the size stands before the first picture.
                        again = av.Packet((head if packet.is_keyframe else b"") + bytes(packet))
                        again.stream, again.time_base = stream, Fraction(1, 10)
                        again.pts = again.dts = number
                        number += 1
                        container.mux(again)
    with open_video(joined, max_pixels=64 * 48) as video:
        frames = 0
        while video.grab():
            frame = video.retrieve()
            assert frame is not None
            assert frame.shape == (48, 64, 3)
            assert frame.mean() == pytest.approx(10 * (frames % 3), abs=7)
            frames += 1
    assert frames == 6


def test_a_video_that_only_pyav_decodes_keeps_the_size_of_its_first_frames_too(tmp_path: Path) -> None:
    parts = [
        small_video(tmp_path / f"{size_wh[0]}.ivf", frames=3, codec="libsvtav1", size_wh=size_wh).read_bytes()
        for size_wh in ((64, 64), (128, 96))
    ]
    joined = tmp_path / "joined.ivf"
    joined.write_bytes(parts[0] + parts[1][32:])  # behind the file's header are frames
    with open_video(joined) as video:
        greys = []
        while video.grab():
            frame = video.retrieve()
            assert frame is not None
            assert frame.shape == (64, 64, 3) == (video.height, video.width, 3)
            greys.append(frame.mean())
    assert greys == pytest.approx([0, 10, 20] * 2, abs=3)


def test_a_video_that_says_to_be_longer_than_allowed_is_refused(tmp_path: Path) -> None:
    video = small_video(tmp_path / "v.mp4")
    open_video(video, max_s=1.2).close()
    with pytest.raises(VideoTooLong, match="longer than 1") as caught:
        open_video(video, max_s=1.1)
    assert caught.value.code == "video_too_long"
    assert caught.value.hint


def test_a_video_that_turns_out_to_be_longer_than_allowed_ends_there(tmp_path: Path) -> None:
    file = small_video(tmp_path / "v.mkv", options={"live": "1"})
    with open_video(file, max_s=0.5) as video:
        assert video.duration_s is None
        assert times_of(video) == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5], abs=0.001)
        assert isinstance(video.exceeded, VideoTooLong)
        assert not video.truncated
    with open_video(file, max_s=2) as video:
        assert len(times_of(video)) == 12
        assert video.exceeded is None


def test_a_title_in_another_encoding_hinders_nobody(tmp_path: Path) -> None:
    path = tmp_path / "v.mkv"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "Koeln im Mai"
        stream = container.add_stream("mpeg4", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        container.mux(stream.encode())
    path.write_bytes(path.read_bytes().replace(b"Koeln im Mai", "K\xf6ln  im Mai".encode("latin-1")))
    with open_video(path) as video:
        assert len(times_of(video)) == 1


@pytest.mark.parametrize("content", [b"", b"not a video", b"\x89PNG\r\n\x1a\n" + bytes(100), b"\0" * 4096])
def test_what_is_no_video_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "v.mp4"
    file.write_bytes(content)
    with pytest.raises(VideoUnreadable) as caught:
        open_video(file)
    assert caught.value.code == "video_unreadable"
    assert caught.value.hint


def test_a_picture_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "v.mp4"
    cv2.imwrite(str(tmp_path / "v.png"), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "v.png").rename(file)
    with pytest.raises(VideoUnreadable):
        open_video(file)


def test_a_file_with_sound_alone_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "v.mp4"
    with av.open(str(file), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(VideoUnreadable, match="no video"):
        open_video(file)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VideoUnreadable, match="no file v"):
        open_video(tmp_path / "v.mp4")
    with pytest.raises(VideoUnreadable):
        open_video(tmp_path)


@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".ffconcat", ".sdp", ".mpd", ".jpg", ""])
@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{video}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile {video}\n",
        "ffconcat version 1.0\nfile v.mp4\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet '
        'mimeType="video/mp4"><Representation id="1"><BaseURL>{video}</BaseURL></Representation></AdaptationSet>'
        "</Period></MPD>",
    ],
    ids=["hls", "concat", "concat-relative", "sdp", "dash"],
)
def test_a_playlist_is_not_followed_whatever_it_is_called(tmp_path: Path, text: str, suffix: str) -> None:
    video = small_video(tmp_path / "v.mp4")
    playlist = tmp_path / f"upload{suffix}"
    playlist.write_text(text.format(video=video))
    with pytest.raises(VideoUnreadable):
        open_video(playlist)


def test_the_name_of_a_file_says_nothing(tmp_path: Path) -> None:
    video = small_video(tmp_path / "v.avi")
    for name in ("upload", "http:host", "frame%03d.mp4", "a b;c|d.mp4", "ümlaut.txt"):
        shutil.copy(video, tmp_path / name)
        with open_video(tmp_path / name) as opened:
            assert len(times_of(opened)) == 12


def test_the_environment_is_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;udp")
    before = dict(os.environ)
    open_video(small_video(tmp_path / "v.mp4")).close()
    assert dict(os.environ) == before
