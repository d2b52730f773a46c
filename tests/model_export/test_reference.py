import cv2
import numpy as np
import pytest

from model_export.errors import BundleInvalid
from model_export.manifest import FrameInput, Manifest, Provenance, Task, TensorSpec
from model_export.reference import Reference, Tally, population_stability, sharpness

LABELS = ("day", "night")


def manifest(task=Task.CLASSIFY, **said) -> Manifest:
    return Manifest(
        name="sky",
        version=1,
        task=task,
        family="test",
        input=FrameInput(width=32, height=32),
        inputs=(TensorSpec(name="frames", dtype="uint8", shape=(None, 32, 32, 3)),),
        outputs=(),
        labels=LABELS,
        provenance=Provenance(tool="test"),
        **said,
    )


def grey(level: int) -> np.ndarray:
    return np.full((32, 32, 3), level, np.uint8)


def probabilities(*values: float) -> dict:
    return {"probabilities": np.array(values, np.float32)}


def tallied(*pairs, **said) -> Reference:
    tally = Tally(manifest(**said))
    for frame, outputs in pairs:
        tally.see(frame, outputs)
    return tally.reference()


def test_frames_and_answers_are_counted():
    found = tallied((grey(10), probabilities(0.2, 0.8)), (grey(200), probabilities(0.9, 0.1)))

    assert found.frames == 2
    assert np.flatnonzero(found.brightness.counts).tolist() == [0, 12]
    assert found.classes == {"day": 1, "night": 1}
    assert sum(found.scores.counts) == 2
    assert found.scores.shares.sum() == pytest.approx(1)


def test_of_several_labels_all_that_are_found_are_counted():
    found = tallied((grey(0), probabilities(0.6, 0.7)), (grey(0), probabilities(0.1, 0.2)), multi_label=True)

    assert found.classes == {"day": 1, "night": 1}


def test_of_detections_every_object_is_counted():
    outputs = {
        "boxes": np.zeros((3, 4), np.float32),
        "scores": np.array([0.9, 0.5, 0.0], np.float32),
        "class_ids": np.array([1, 1, 0], np.int64),
    }

    found = tallied((grey(0), outputs), task=Task.DETECT)

    assert found.classes == {"day": 0, "night": 2}
    assert sum(found.scores.counts) == 2


def test_vectors_are_averaged():
    found = tallied(
        (grey(0), {"embedding": np.array([1, 0], np.float32)}),
        (grey(0), {"embedding": np.array([0, 1], np.float32)}),
        task=Task.EMBED,
    )

    assert found.embedding == (0.5, 0.5)


def test_it_is_read_back_as_it_was_written(tmp_path):
    found = tallied((grey(10), probabilities(0.2, 0.8)))
    (tmp_path / "reference.json").write_text(found.to_json())

    assert Reference.read(tmp_path / "reference.json") == found


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 2}'])
def test_what_is_no_reference_is_refused(tmp_path, content):
    (tmp_path / "reference.json").write_text(content)

    with pytest.raises(BundleInvalid, match="cannot be read as reference statistics"):
        Reference.read(tmp_path / "reference.json")


def test_sharpness_is_the_variance_of_opencvs_laplacian():
    picture = np.random.default_rng(0).integers(0, 256, (40, 50)).astype(np.float32)

    assert sharpness(picture) == pytest.approx(cv2.Laplacian(picture, cv2.CV_32F)[1:-1, 1:-1].var(), rel=1e-4)
    assert sharpness(cv2.GaussianBlur(picture, (0, 0), 3)) < sharpness(picture) / 100


def test_shares_that_are_the_same_are_stable_and_others_are_not():
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.1, 0.8])

    assert population_stability(p, p) == 0
    # (0.1−0.5)·ln(0.2) + (0.1−0.3)·ln(1/3) + (0.8−0.2)·ln(4)
    assert population_stability(p, q) == pytest.approx(1.6953, abs=1e-3)
    assert np.isfinite(population_stability(p, np.array([1.0, 0.0, 0.0])))
