import sys
from pathlib import Path

import av
import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

from footage import STREET_FRAMES, beginning, footage
from serving import SAMPLE, TWO_WORKERS, Server, import_model, serving


@pytest.fixture(scope="session")
def few_frames(tmp_path_factory):
    """A video for tests that need any: twenty frames are soon done."""
    return footage(tmp_path_factory.mktemp("few") / "few.mp4")


@pytest.fixture(scope="session")
def street(tmp_path_factory):
    """The first `STREET_FRAMES` frames of the sample video, in which some objects come and go."""
    return beginning(tmp_path_factory.mktemp("street") / "street.mp4", SAMPLE, frames=STREET_FRAMES)


@pytest.fixture(scope="session")
def long_video(tmp_path_factory):
    """One that takes longer than any test that cancels it."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    short = footage(path.with_name("short.mp4"), frames=200, size_wh=(32, 32))
    # The same pictures again and again: to encode as many takes seconds.
    with av.open(str(short)) as source, av.open(str(path), "w") as made:
        stream = made.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.size]
        for number in range(20_000):
            packet = packets[number % len(packets)]
            packet.stream, packet.pts, packet.dts = stream, number * packet.duration, number * packet.duration
            made.mux(packet)
    return path


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Server:
    """A server with the models that ship with it; all tests share it that leave it as they found it."""
    with serving(tmp_path_factory.mktemp("data"), env=TWO_WORKERS) as running:
        yield running


@pytest.fixture(scope="session")
def yolox_server(server, shared_data) -> Server:
    """The same with YOLOX-Nano, too."""
    import_model(server.data, shared_data / "onnx/yolox_nano.onnx", shared_data / "onnx/coco.names")
    return server
