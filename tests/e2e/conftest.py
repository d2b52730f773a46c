import shutil
import sys
from pathlib import Path

import av
import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

from footage import footage
from serving import Server, import_model, serving


@pytest.fixture(scope="session")
def yolox_data(shared_data, tmp_path_factory):
    """A data folder with YOLOX-Nano imported; copy it before use."""
    data = tmp_path_factory.mktemp("yolox")
    import_model(data, shared_data / "onnx/yolox_nano.onnx", shared_data / "onnx/coco.names")
    return data


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


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Server:
    """A server with the models that ship with it."""
    with serving(tmp_path_factory.mktemp("data")) as running:
        yield running


@pytest.fixture(scope="module")
def yolox_server(yolox_data, tmp_path_factory) -> Server:
    """A server with YOLOX-Nano, too."""
    data = tmp_path_factory.mktemp("data")
    shutil.copytree(yolox_data / "models", data / "models")
    with serving(data) as running:
        yield running
