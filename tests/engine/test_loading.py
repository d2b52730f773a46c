from pathlib import Path

import numpy as np
import onnx
import pytest
from engine_builders import SIDE, bundle, mean_graph, running, scaled_graph, sum_graph, with_variant
from onnx import numpy_helper

from model_export.errors import BundleInvalid, GoldenMismatch, VariantUnknown
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
    Choices(Path(options.choices)).put(subject(made, "cpu", options), choice)
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


def answer(model):
    white = np.full((1, SIDE, SIDE, 3), 255, np.uint8)
    return model._sessions.of(0, 1).run({"frames": white})["probabilities"]


def test_the_variant_that_the_settings_name_serves(tmp_path):
    made = with_variant(tmp_path / "m", mean_graph(), scaled_graph(0.95), batch=Batch(invariant=False))
    plain, variant = (load("m@1", made.folder, 0, running(variants=names)) for names in ({"n": "int8"}, {"m": "int8"}))
    assert (plain.bundle.variant, variant.bundle.variant) == (None, "int8")
    np.testing.assert_allclose(answer(plain), 1.0, atol=1e-6)
    np.testing.assert_allclose(answer(variant), 0.95, atol=1e-6)
    assert np.abs(answer(variant) - answer(plain)).max() <= made.manifest.variants["int8"].tolerance
    assert variant.manifest.precision is Precision.INT8
    assert variant.policy.sizes == (1,)  # as the variant's own batches were found to be
    assert plain.settings != variant.settings


def test_a_variant_may_be_as_far_from_the_golden_answers_as_it_says_and_no_further(tmp_path):
    made = with_variant(tmp_path / "m", mean_graph(), scaled_graph(0.95), tolerance=0.04)
    with pytest.raises(GoldenMismatch, match=r"'probabilities' differs by 0\.05"):
        load("m@1", made.folder, 0, running(variants={"m": "int8"}))


def test_a_variant_that_is_not_there_is_an_error_that_names_those_that_are(tmp_path):
    made = with_variant(tmp_path / "m", mean_graph(), scaled_graph(0.95))
    with pytest.raises(VariantUnknown, match=r"m@1 has no variant 'fp16'; it has int8\. Export it with"):
        load("m@1", made.folder, 0, running(variants={"m": "fp16"}))
    with pytest.raises(VariantUnknown, match="it has none"):
        load("n@1", bundle(tmp_path / "n", mean_graph()).folder, 0, running(variants={"n": "int8"}))
