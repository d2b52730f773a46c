import math
from dataclasses import replace

import numpy as np
import onnx
import pytest
from compress_builders import LABELS, SIDE, STATE, compression, conv_graph, draft, faithful, frames
from onnx import TensorProto, helper

from model_export import golden, int8
from model_export.bundle import GOLDEN, MODEL, Bundle
from model_export.check import check_bundle
from model_export.compress import Score, compress
from model_export.graph import finished, set_all
from model_export.manifest import Manifest, Precision, Provenance, Task
from model_export.playing import golden_samples
from model_export.session import Session


def compressed(*, recurrent=False, judge=None, **changes):
    """What comes of a graph, and the rows that are told."""
    content, wanted = conv_graph(recurrent=recurrent), draft(recurrent=recurrent)
    own, samples = Session(content, name="own"), frames(8, steps=4 if recurrent else None)
    _, expected = golden_samples(own.run, samples, wanted, rows=2)
    rows = []
    how = compression(judge or faithful(own, frames()), samples, tried=rows.extend, **changes)
    return compress(content, own, wanted, samples, expected, how), rows


@pytest.fixture(scope="module")
def both():
    return compressed()


def test_variants_that_are_good_enough_are_kept(both):
    found, rows = both
    assert set(found.files) == {"model.int8.onnx", "model.fp16.onnx"}
    assert [row.name for row in rows] == [None, "int8", "fp16"]
    assert all(row.kept and not row.why for row in rows)
    for row in rows[1:]:
        variant = found.variants[row.name]
        assert (variant.metric, variant.value, variant.lost) == ("accuracy", row.score.value, row.lost)
        assert row.size == len(found.files[f"model.{row.name}.onnx"]) < rows[0].size
        assert row.latency_ms > 0
    assert found.variants["int8"].precision is Precision.INT8


def test_the_tolerance_is_wider_than_the_variant_is_apart(both):
    found, _ = both
    golden = Session(conv_graph(), name="own").run({"frames": frames(8)[:2]})["probabilities"]
    for name, variant in found.variants.items():
        got = Session(found.files[f"model.{name}.onnx"], name=name).run({"frames": frames(8)[:2]})["probabilities"]
        assert variant.tolerance == pytest.approx(1.5 * np.abs(got - golden).max() + 0.01, abs=1e-4)


def masks() -> bytes:
    """The class of each of 16 × 16 pixels, `mask` u8 [B, 16, 16], from convolutions with weights of their own."""
    model = onnx.load_model_from_string(conv_graph())
    nodes = [node for node in model.graph.node if node.op_type not in ("ReduceMean", "MatMul", "Softmax")]
    nodes.append(helper.make_node("ArgMax", ["third"], ["classes"], name="best", axis=1, keepdims=0))
    nodes.append(helper.make_node("Cast", ["classes"], ["mask"], name="bytes", to=TensorProto.UINT8))
    set_all(model.graph.node, nodes)
    set_all(model.graph.output, [helper.make_tensor_value_info("mask", TensorProto.UINT8, ["batch", SIDE, SIDE])])
    return finished(model)


def test_a_variant_that_is_kept_gives_its_golden_answers_though_pixels_of_its_mask_are_others(tmp_path):
    content, samples = masks(), frames(8)
    own, wanted = Session(content, name="own"), replace(draft(), task=Task.SEGMENT)
    inputs, outputs = golden_samples(own.run, samples, wanted, rows=2)
    how = compression(lambda session: Score("iou", 0.9), samples)
    found = compress(content, own, wanted, samples, outputs, how)
    manifest = Manifest(
        name="tiny",
        version=1,
        task=Task.SEGMENT,
        family="test",
        input=wanted.input,
        inputs=own.inputs,
        outputs=own.outputs,
        labels=LABELS,
        variants=found.variants,
        provenance=Provenance(tool="test"),
    )
    files = {MODEL: content, GOLDEN: golden.encode(inputs, outputs), **found.files}

    said = check_bundle(Bundle.write(tmp_path / "1", manifest, files))

    assert found.variants["int8"].share > 0.003
    assert {"int8: golden samples agree", "fp16: golden samples agree"} <= set(said)


def test_one_that_finds_nothing_of_what_the_model_finds_is_not_written_and_it_says_so(monkeypatch):
    monkeypatch.setattr("model_export.compress.too_far", lambda *answers: "it finds nothing")
    found, rows = compressed(wanted=[Precision.FP16])
    assert found.files == {}
    assert (rows[1].kept, rows[1].why) == (False, "not written: it finds nothing")


def test_one_that_loses_too_much_is_not_written_and_it_says_so():
    scores = iter([0.91, 0.885, 0.905])
    found, rows = compressed(judge=lambda session: Score("accuracy", next(scores)))
    assert set(found.files) == {"model.fp16.onnx"}
    assert set(found.variants) == {"fp16"}
    assert rows[1].why == "not written: it loses 2.50 points, and 1 are allowed"
    assert not rows[1].kept
    assert rows[1].score.value == 0.885
    assert rows[2].lost == pytest.approx(0.5)


def test_one_that_onnx_runtime_crashes_on_is_not_written_and_it_says_so():
    seen = iter([True, False])
    found, rows = compressed(survives=lambda content: next(seen))
    assert set(found.files) == {"model.int8.onnx"}
    assert (rows[2].kept, rows[2].score) == (False, None)
    assert rows[2].why == "not written: ONNX Runtime crashes on it"


@pytest.mark.parametrize(("most", "kept"), [(2.5, True), (2.49, False)])
def test_how_much_it_may_lose_is_said(most, kept):
    scores = iter([0.91, 0.885])
    _, rows = compressed(judge=lambda session: Score("f1", next(scores)), wanted=[Precision.FP16], most_lost=most)
    assert rows[1].kept is kept


def test_where_nothing_gains_by_8_bits_it_says_so(monkeypatch):
    monkeypatch.setattr(int8, "PICTURE_CHANNELS", 16)
    found, rows = compressed(wanted=[Precision.INT8])
    assert found.files == {}
    assert rows[1].why == "nothing in it is large enough to gain by 8 bits"
    assert math.isnan(rows[1].latency_ms)


def test_a_model_with_state_is_calibrated_over_the_frames_of_its_clips():
    asked = []

    def judge(session):
        asked.append(session.name)
        return Score("accuracy", 1.0)

    found, _ = compressed(recurrent=True, judge=judge)
    assert asked == ["own", "the int8 variant", "the fp16 variant"]
    assert set(found.variants) == {"int8", "fp16"}
    assert all(variant.batch.invariant for variant in found.variants.values())
    assert {one.name for one in Session(found.files["model.int8.onnx"], name="int8").inputs} == {
        "frames",
        *(one.input for one in STATE),
    }
