import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

from serving import Server, import_model, serving


@pytest.fixture(scope="session")
def yolox_data(shared_data, tmp_path_factory):
    """A data folder with YOLOX-Nano imported; copy it before use."""
    data = tmp_path_factory.mktemp("yolox")
    import_model(data, shared_data / "onnx/yolox_nano.onnx", shared_data / "onnx/coco.names")
    return data


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
