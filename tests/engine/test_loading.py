from pathlib import Path

import numpy as np
import onnx
import pytest
from engine_builders import bundle, mean_graph, running, sum_graph
from onnx import numpy_helper

from model_export.errors import BundleInvalid, GoldenMismatch
from model_export.manifest import Batch, Precision
from server.engine.loading import load
from server.engine.plan import subject
from server.engine.session import SessionFailed
from server.engine.tuning.choices import Choice, Choices


def test_sizes_are_the_powers_of_two_up_to_the_largest_that_pays(tmp_path):
    made = bundle(tmp_path / "m", mean_graph())
    sizes = load("m@1", made.folder, 0, running(max_batch=6)).policy.sizes
    assert sizes[0] == 1
    assert sizes == (1, 2, 4, 6)[: len(sizes)]


def test_a_fixed_batch_is_the_only_size_and_is_padded(tmp_path):
    made = bundle(tmp_path / "m", mean_graph(), batch=Batch(fixed=3))
    policy = load("m@1", made.folder, 0, running()).policy
    assert (policy.sizes, policy.pad) == ((3,), True)


def test_answers_that_depend_on_the_batch_are_given_in_one_size(tmp_path):
    made = bundle(tmp_path / "m", mean_graph(), batch=Batch(invariant=False))
    assert load("m@1", made.folder, 0, running()).policy.sizes == (1,)


def test_on_a_cpu_nobody_waits_for_a_batch_unless_told_to(tmp_path):
    made = bundle(tmp_path / "m", mean_graph())
    assert load("m@1", made.folder, 0, running()).policy.max_delay_s == 0
    assert load("m@1", made.folder, 0, running(max_delay_s=0.01)).policy.max_delay_s == 0.01


def test_a_model_with_state_has_one_request_of_a_stream_in_flight(tmp_path):
    made = bundle(tmp_path / "m", sum_graph(), recurrent=True)
    assert load("m@1", made.folder, 0, running()).policy.one_each


@pytest.mark.parametrize("threads", [1, 2])
def test_as_many_batches_run_at_once_as_there_are_sessions(tmp_path, threads):
    made = bundle(tmp_path / "m", mean_graph())
    assert load("m@1", made.folder, 0, running(sessions=3, threads=threads)).parallel == 3


def test_a_folder_that_holds_another_model_is_refused(tmp_path):
    made = bundle(tmp_path / "m", mean_graph())
    with pytest.raises(BundleInvalid, match="holds m@1, not n@1"):
        load("n@1", made.folder, 0, running())


def test_a_file_that_is_not_the_manifests_is_refused(tmp_path):
    made = bundle(tmp_path / "m", mean_graph())
    made.model.write_bytes(b"changed")
    with pytest.raises(BundleInvalid, match=r"model\.onnx"):
        load("m@1", made.folder, 0, running())


def test_other_answers_than_the_golden_ones_are_refused_and_say_by_how_much(tmp_path):
    graph = mean_graph()
    white = next(c for c in graph.graph.initializer if c.name == "white")
    white.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(white) * 2, "white"))
    made = bundle(tmp_path / "m", graph)
    with pytest.raises(GoldenMismatch, match=r"'probabilities' differs by 0\.5"):
        load("m@1", made.folder, 0, running())


def test_golden_answers_of_half_precision_may_differ_by_its_rounding(tmp_path):
    graph = mean_graph()
    white = next(c for c in graph.graph.initializer if c.name == "white")
    white.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(white) * np.float32(1.005), "white"))
    made = bundle(tmp_path / "m", graph, precision=Precision.FP16)
    assert load("m@1", made.folder, 0, running()).manifest.precision is Precision.FP16
    other = bundle(tmp_path / "n", graph)
    with pytest.raises(GoldenMismatch):
        load("n@1", other.folder, 0, running())


def test_a_graph_that_onnx_runtime_does_not_load_is_refused(tmp_path):
    graph = mean_graph()
    graph.graph.node.append(onnx.helper.make_node("NoSuchOperator", ["frames"], ["nothing"]))
    made = bundle(tmp_path / "m", graph)
    with pytest.raises(SessionFailed, match="NoSuchOperator"):
        load("m@1", made.folder, 0, running())


def test_what_was_measured_is_not_measured_again(tmp_path, caplog):
    made = bundle(tmp_path / "m", mean_graph())
    options = running(sessions=None, threads=None, max_batch=None, choices=str(tmp_path / "tuning.json"))
    choice = Choice(sessions=1, threads=2, max_batch=4, optimization="extended", frames_s=70.0, run_s=0.028)
    Choices(Path(options.choices)).put(subject(made.manifest, "cpu", options), choice)
    caplog.set_level("INFO")
    model = load("m@1", made.folder, 0, options)
    assert (model.parallel, model.threads, model.policy.sizes, model.run_s) == (1, 2, (1, 2, 4), 0.028)
    assert "threads=2 extended" in model.settings
    assert not model.can_be_measured
    assert "ms a frame in batches" not in caplog.text


def test_what_was_not_measured_can_be(tmp_path):
    model = load("m@1", bundle(tmp_path / "m", mean_graph()).folder, 0, running())
    assert model.can_be_measured
    assert model.run_s > 0
    assert "threads=1 all" in model.settings
