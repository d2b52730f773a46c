import sys
import threading
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from engine_builders import SIDE, heavy_graph, mean_graph

from server.core import heap
from server.engine.session import (
    CPU,
    OnnxSession,
    Options,
    ProviderUnavailable,
    SessionFailed,
    choose_provider,
    open_session,
)


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(mean_graph().SerializeToString())
    return path


@pytest.fixture
def no_cuda(monkeypatch):
    """A build of ONNX Runtime without CUDA."""
    monkeypatch.setattr(ort, "get_available_providers", lambda: [CPU])


def opened(model):
    return lambda provider: OnnxSession(model, provider, Options())


def grey(*levels):
    return {"frames": np.stack([np.full((SIDE, SIDE, 3), level, np.uint8) for level in levels])}


def memory_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def test_a_run_gives_all_outputs_by_name(model):
    session = OnnxSession(model, "cpu", Options())
    assert session.provider == "cpu"
    outputs = session.run(grey(0, 51))
    assert list(outputs) == ["probabilities"]
    assert np.allclose(outputs["probabilities"], [[0, 0, 0], [0.2, 0.2, 0.2]])


def test_what_is_no_graph_is_an_error_of_one_line(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(SessionFailed, match=r"cannot load .*model\.onnx") as caught:
        OnnxSession(tmp_path / "model.onnx", "cpu", Options())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("inputs", [{}, {"frames": np.zeros((1, 2, 2, 3), np.uint8)}, {"other": np.zeros(1)}])
def test_inputs_that_do_not_fit_are_an_error_and_the_session_lives_on(model, inputs):
    session = OnnxSession(model, "cpu", Options())
    with pytest.raises(SessionFailed):
        session.run(inputs)
    assert session.run(grey(255))["probabilities"][0].tolist() == [1, 1, 1]


def test_threads_that_share_a_session_get_their_own_answers(model):
    session = OnnxSession(model, "cpu", Options())
    wrong = []

    def body(level):
        for _ in range(200):
            if not np.allclose(session.run(grey(level))["probabilities"], level / 255):
                wrong.append(level)

    threads = [threading.Thread(target=body, args=(level,)) for level in (10, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_cpu_is_what_was_asked_for(model):
    session, provider = open_session(opened(model), "cpu")
    assert (session.provider, provider.name, provider.why) == ("cpu", "cpu", "")


def test_cuda_that_is_not_there_gives_the_cpu_and_says_why(model, no_cuda):
    session, provider = open_session(opened(model), "cuda")
    assert (session.provider, provider.name, provider.asked) == ("cpu", "cpu", "cuda")
    assert "vidserve[gpu]" in provider.why
    assert choose_provider("cuda", required=False, probe=model) == provider


def test_cuda_that_is_required_and_not_there_is_an_error_that_names_the_doctor(model, no_cuda):
    with pytest.raises(ProviderUnavailable, match="vidserve doctor"):
        open_session(opened(model), "cuda", required=True)


@pytest.mark.gpu
def test_cuda_agrees_with_the_cpu(model):
    session, provider = open_session(opened(model), "auto")
    assert (session.provider, provider.name, provider.why) == ("cuda", "cuda", "")
    assert np.allclose(session.run(grey(51))["probabilities"], 0.2, atol=1e-5)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_closed_session_gives_its_memory_back(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(heavy_graph(96).SerializeToString())
    OnnxSession(path, "cpu", Options()).close()
    heap.release()
    before = memory_mb()
    session = OnnxSession(path, "cpu", Options())
    session.run(grey(*range(8)))
    assert memory_mb() - before > 80
    session.close()
    heap.release()
    assert memory_mb() - before < 24


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_a_large_batch_took_is_given_back_by_a_run_that_shrinks(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(heavy_graph(24).SerializeToString())
    session = OnnxSession(path, "cpu", Options())
    session.run(grey(1))
    heap.release()
    before = memory_mb()
    session.run(grey(*range(8)))
    assert memory_mb() - before > 40
    assert np.array_equal(session.run(grey(9), shrink=True)["probabilities"], session.run(grey(9))["probabilities"])
    heap.release()
    assert memory_mb() - before < 30
    session.close()
