"""A net that learns from another model, in torch or as ONNX."""

import json

import numpy as np
import pytest
import torch
from evaluation_builders import brightness, onnx_brightness_file
from fit_builders import MadeData, Shades, a_recipe, shades, state_of, trained

from training.configuration import read
from training.data.frame_spec import FrameSpec
from training.distillation import Distillation, Teacher, distillation, soft_loss
from training.errors import ModelUnsuitable, RunChanged, TeacherUnsuitable
from training.recipe import TeacherConfig

GREY = FrameSpec(width=8, height=8, channels=1)
LABELS = ("dark", "light")


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(0, 3, shape).astype(np.float32)


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def loss_of(kind, logits, teacher, temperature):
    return soft_loss(kind, torch.from_numpy(logits), torch.from_numpy(teacher), temperature).item()


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_of_classes_it_is_the_divergence_of_softened_probabilities(temperature):
    logits, teacher = numbers(6, 4), numbers(6, 4, seed=1)
    p, q = (softmax(one.astype(np.float64) / temperature) for one in (teacher, logits))
    expected = temperature**2 * (p * np.log(p / q)).sum(1).mean()
    assert loss_of("class", logits, teacher, temperature) == pytest.approx(expected, rel=1e-4)


def test_of_several_labels_it_is_that_of_each_label():
    logits, teacher = numbers(6, 4), numbers(6, 4, seed=1)
    p, q = (sigmoid(one.astype(np.float64) / 3) for one in (teacher, logits))
    expected = 9 * (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean()
    assert loss_of("multi_label", logits, teacher, 3.0) == pytest.approx(expected, rel=1e-4)


def test_of_numbers_it_is_the_squared_difference():
    said, teacher = numbers(6, 2), numbers(6, 2, seed=1)
    assert loss_of("numbers", said, teacher, 9.0) == pytest.approx(((said - teacher) ** 2).mean(), rel=1e-5)


@pytest.mark.parametrize("kind", ["class", "multi_label", "numbers"])
def test_who_says_what_the_teacher_says_has_nothing_to_learn(kind):
    assert loss_of(kind, numbers(5, 3), numbers(5, 3), 4.0) == pytest.approx(0, abs=1e-5)


def test_a_softmax_does_not_see_what_is_added_to_all_classes():
    logits, teacher = numbers(5, 3), numbers(5, 3, seed=1)
    assert loss_of("class", logits, teacher + 7, 4.0) == pytest.approx(loss_of("class", logits, teacher, 4.0), rel=1e-4)


def test_teacher_and_labels_share_the_loss_by_weight():
    frames = torch.randint(0, 256, (4, 1, 8, 8, 1), dtype=torch.uint8)
    logits, teacher = torch.from_numpy(numbers(4, 2)), Teacher(brightness())
    soft = soft_loss("class", logits, teacher.scores(frames), 2.0)
    got = Distillation(teacher, "class", 2.0, 0.75).loss(torch.tensor(5.0), logits, frames)
    assert got.item() == pytest.approx(0.25 * 5 + 0.75 * soft.item(), rel=1e-6)


def config(path, **said):
    return read(TeacherConfig, {"model": str(path), **said})


@pytest.fixture
def teacher(tmp_path):
    """Tells dark from light frames, as an ONNX file."""
    file = tmp_path / "teacher.onnx"
    file.write_bytes(onnx_brightness_file())
    return file


@pytest.mark.parametrize("kind", ["class", "multi_label"])
def test_in_torch_and_as_onnx_a_teacher_says_the_same(teacher, kind):
    # The graph answers probabilities that exclude each other; to it labels are two sigmoids of opposite logits.
    frames = torch.from_numpy(np.random.default_rng(0).integers(60, 200, (5, 1, 8, 8, 1), np.uint8))
    in_torch = Teacher(brightness()).scores(frames)
    as_onnx = distillation(config(teacher), GREY, LABELS, kind).teacher.scores(frames)
    logits = torch.from_numpy(numbers(5, 2))
    if kind == "multi_label":
        in_torch = 2 * in_torch
    one, other = (soft_loss(kind, logits, said, 4.0).item() for said in (in_torch, as_onnx))
    assert one == pytest.approx(other, rel=1e-4)
    assert one > 0.01


@pytest.mark.parametrize(
    ("input", "labels", "message"),
    [
        (GREY, ("a", "b", "c"), "answers 2 numbers, and the data have 3 labels"),
        (FrameSpec(width=9, height=8, channels=1), LABELS, "cannot look at the data's frames"),
    ],
)
def test_a_file_that_does_not_fit_the_data_is_refused(teacher, input, labels, message):
    with pytest.raises(TeacherUnsuitable, match=message):
        distillation(config(teacher), input, labels, "class")


def test_what_is_no_model_is_no_teacher(tmp_path):
    with pytest.raises(ModelUnsuitable, match="is no model"):
        distillation(config(tmp_path / "nothing"), GREY, LABELS, "class")


def upside_down():
    """What is dark is called light in what is learnt from, and not in what validates."""
    plain = shades()

    class Inverted(Shades):
        @property
        def targets(self):
            return 1 - super().targets

    return MadeData(Inverted(48, augmented=True), plain.validation, LABELS)


@pytest.mark.parametrize(("weight", "learnt"), [(1.0, True), (0.001, False)])
def test_a_net_learns_what_its_teacher_knows_as_far_as_the_teacher_counts(tmp_path, teacher, weight, learnt):
    said = {"model": str(teacher), "weight": weight, "temperature": 2.0}
    outcome = trained(tmp_path / "run", upside_down(), teacher=said, fit={"epochs": 3})
    assert outcome.rows[-1]["accuracy"] > 0.9 if learnt else outcome.rows[-1]["accuracy"] < 0.1


def test_the_teacher_is_no_part_of_what_is_kept(tmp_path, teacher):
    outcome = trained(tmp_path / "run", shades(), teacher={"model": str(teacher)})
    assert all(name.startswith("net.") for name in state_of(outcome.folder.last))


def test_a_run_goes_on_with_the_teacher_that_it_began_with_alone(tmp_path, teacher):
    said = {"model": str(teacher)}
    trained(tmp_path / "run", shades(), teacher=said)
    assert len(json.loads((tmp_path / "run" / "run.json").read_text())["teacher"]) == 64
    trained(tmp_path / "run", shades(), resume=True, teacher=said)
    teacher.write_bytes(onnx_brightness_file(batch=1))
    with pytest.raises(RunChanged, match="The teacher is not the one"):
        trained(tmp_path / "run", shades(), resume=True, teacher=said)


def test_a_recipe_says_where_the_teacher_is_and_how_much_it_counts():
    recipe = a_recipe(teacher={"model": "runs/big"})
    assert recipe.teacher is not None
    assert (recipe.teacher.temperature, recipe.teacher.weight) == (4.0, 0.7)
    assert "teacher:\n  model: runs/big\n" in recipe.to_yaml()
