from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy_layers import sigmoid, softmax

from training.errors import ConfigInvalid
from training.tasks.choice import task_for

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 1.0, 0.0]])
CLASSES = np.array([0, 0, 0, 1, 1, 2])


def test_classification_is_cross_entropy_of_a_softmax() -> None:
    task = task_for("class", 3, CLASSES)
    target = torch.tensor([2, 1])
    expected = -np.log(softmax(LOGITS.numpy())[[0, 1], [2, 1]]).mean()

    assert task.loss(LOGITS, target).item() == pytest.approx(expected, rel=1e-5)
    assert task.answers(LOGITS).numpy() == pytest.approx(softmax(LOGITS.numpy()))


def test_smoothing_and_mixing_spread_the_target() -> None:
    hard = task_for("class", 3, CLASSES, smoothing=0.3)
    soft = task_for("class", 3, CLASSES)
    spread = torch.tensor([[0.1, 0.1, 0.8], [0.1, 0.8, 0.1]])

    assert hard.loss(LOGITS, torch.tensor([2, 1])).item() == pytest.approx(soft.loss(LOGITS, spread).item())
    assert soft.truth(spread).tolist() == [2, 1]


def test_balanced_weights_let_every_class_count_alike() -> None:
    task = task_for("class", 3, CLASSES, weights="balanced")
    assert task.weights.tolist() == pytest.approx([6 / 9, 6 / 6, 6 / 3])
    assert task_for("class", 4, CLASSES, weights="balanced").weights[3] == 1.0
    assert task_for("class", 3, CLASSES, weights=(1.0, 2.0, 3.0)).weights.tolist() == [1, 2, 3]


def test_several_labels_are_a_binary_cross_entropy_each() -> None:
    targets = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [1, 0, 0]], np.float32)
    task, balanced = task_for("multi_label", 3, targets), task_for("multi_label", 3, targets, weights="balanced")
    target = torch.tensor([[1.0, 0, 1], [0, 0, 1]])
    p = sigmoid(LOGITS.numpy())
    each = -(target.numpy() * np.log(p) + (1 - target.numpy()) * np.log(1 - p))

    assert task.loss(LOGITS, target).item() == pytest.approx(each.mean(), rel=1e-5)
    assert task.answers(LOGITS).numpy() == pytest.approx(p)
    assert balanced.weights.tolist() == pytest.approx([1 / 3, 3.0, 1.0])
    smoothed = task_for("multi_label", 3, targets, smoothing=0.2)
    assert smoothed.loss(LOGITS, target).item() == pytest.approx(task.loss(LOGITS, target * 0.8 + 0.1).item())


def test_numbers_are_a_mean_squared_error() -> None:
    task = task_for("numbers", 3, np.zeros((4, 3), np.float32))
    weighed = task_for("numbers", 3, np.zeros((4, 3), np.float32), weights=(0.0, 0.0, 3.0))
    target = torch.zeros(2, 3)

    assert task.loss(LOGITS, target).item() == pytest.approx((LOGITS**2).mean().item())
    assert weighed.loss(LOGITS, target).item() == pytest.approx((LOGITS[:, 2] ** 2).mean().item())
    assert torch.equal(task.answers(LOGITS), LOGITS)


def test_metrics_are_what_they_are_called() -> None:
    task = task_for("class", 3, CLASSES)
    metrics = task.metrics()
    metrics.update(task.answers(LOGITS), task.truth(torch.tensor([2, 1])))
    found = {name: value.item() for name, value in metrics.compute().items()}
    assert found["accuracy"] == 0.5
    assert task.measure in found

    several = task_for("multi_label", 2, np.zeros((4, 2), np.float32))
    metrics = several.metrics()
    metrics.update(torch.tensor([[0.9, 0.1], [0.2, 0.8]]), several.truth(torch.tensor([[1.0, 0], [0, 1]])))
    assert metrics.compute()["macro_f1"].item() == 1.0

    numbers = task_for("numbers", 1, np.zeros((4, 1), np.float32))
    metrics = numbers.metrics()
    metrics.update(torch.tensor([[3.0], [0.0]]), torch.tensor([[0.0], [4.0]]))
    assert metrics.compute()["rmse"].item() == pytest.approx(np.sqrt(12.5))
    assert not numbers.higher_is_better


def test_as_many_weights_as_labels() -> None:
    with pytest.raises(ConfigInvalid, match="there are 3 labels, and 2 weights"):
        task_for("class", 3, CLASSES, weights=(1.0, 2.0))
