"""Measures against a second opinion (torchmetrics), and against what they are by definition."""

import numpy as np
import pytest
import torch
from torchmetrics.functional import (
    accuracy,
    auroc,
    average_precision,
    calibration_error,
    confusion_matrix,
    f1_score,
    mean_absolute_error,
    mean_squared_error,
    precision,
    r2_score,
    recall,
)

from training.evaluation.answers import ClassAnswers, LabelAnswers, NumberAnswers, answers_of, part_of
from training.evaluation.measures import Ranking

LABELS = 4


def class_answers(count: int = 300, seed: int = 0, decimals: int = 2) -> ClassAnswers:
    """Answers that are right more often than not, with scores that tie."""
    random = np.random.default_rng(seed)
    target = random.choice(LABELS, count, p=[0.5, 0.3, 0.15, 0.05])
    logits = random.normal(0, 1, (count, LABELS))
    logits[np.arange(count), target] += 1.2
    said = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return ClassAnswers(np.round(said, decimals), target)


def label_answers(count: int = 300) -> LabelAnswers:
    random = np.random.default_rng(1)
    target = (random.random((count, 3)) < [0.5, 0.2, 0.7]).astype(np.int64)
    said = np.clip(0.5 + (target - 0.5) * 0.4 + random.normal(0, 0.25, target.shape), 0, 1)
    return LabelAnswers(np.round(said, 2), target)


@pytest.mark.parametrize("seed", range(3))
def test_measures_of_classes_agree_with_torchmetrics(seed: int) -> None:
    answers = class_answers(seed=seed)
    said, target = torch.from_numpy(answers.said), torch.from_numpy(answers.target)
    asked = {"task": "multiclass", "num_classes": LABELS}
    expected = {
        "accuracy": accuracy(said, target, **asked, average="micro"),
        "precision": precision(said, target, **asked, average="macro"),
        "recall": recall(said, target, **asked, average="macro"),
        "f1": f1_score(said, target, **asked, average="macro"),
        "auc": auroc(said, target, **asked, average="macro"),
        "average_precision": average_precision(said, target, **asked, average="macro"),
    }
    measured = answers.measures()
    for name, value in expected.items():
        assert measured[name] == pytest.approx(float(value), abs=1e-6), name
    assert answers.confusion().tolist() == confusion_matrix(said, target, **asked).tolist()


def test_calibration_agrees_with_torchmetrics() -> None:
    # Confidences on the edges of bins are counted to either side, so there are none here.
    answers = class_answers(decimals=9)
    said, target = torch.from_numpy(answers.said), torch.from_numpy(answers.target)
    expected = calibration_error(said, target, task="multiclass", num_classes=LABELS, n_bins=15, norm="l1")
    assert answers.measures()["calibration_error"] == pytest.approx(float(expected), abs=1e-6)


def test_measures_of_labels_agree_with_torchmetrics() -> None:
    answers = label_answers()
    said, target = torch.from_numpy(answers.said), torch.from_numpy(answers.target)
    asked = {"task": "multilabel", "num_labels": 3}
    measured = answers.measures()
    # torchmetrics takes exactly one half as a no.
    strict = (said + 1e-6).clamp(max=1.0)
    for name, function in {
        "accuracy": accuracy,
        "precision": precision,
        "recall": recall,
        "f1": f1_score,
        "auc": auroc,
        "average_precision": average_precision,
    }.items():
        assert measured[name] == pytest.approx(float(function(strict, target, **asked, average="macro")), abs=1e-6), (
            name
        )


def test_measures_of_numbers_agree_with_torchmetrics() -> None:
    random = np.random.default_rng(2)
    target = random.normal(10, 3, (200, 2))
    answers = NumberAnswers(target + random.normal(0, 1, target.shape), target)
    said, true = torch.from_numpy(answers.said), torch.from_numpy(answers.target)
    measured = answers.measures()
    assert measured["rmse"] == pytest.approx(float(mean_squared_error(said, true).sqrt()), abs=1e-5)
    assert measured["mae"] == pytest.approx(float(mean_absolute_error(said, true)), abs=1e-5)
    assert measured["r2"] == pytest.approx(float(r2_score(said, true)), abs=1e-5)


@pytest.mark.parametrize("make", [class_answers, label_answers])
def test_a_weight_counts_a_sample_so_often(make) -> None:
    answers = make(60)
    times = np.random.default_rng(3).integers(0, 4, 60)
    repeated = part_of(answers, np.repeat(np.arange(60), times))
    weighted, expected = answers.measures(times.astype(float)), repeated.measures()
    assert weighted == pytest.approx(expected)


def test_an_auc_is_the_chance_that_a_positive_comes_before_a_negative() -> None:
    answers = class_answers(80)
    ranking = answers.rankings[1]
    positive, negative = ranking.score[ranking.positive], ranking.score[~ranking.positive]
    pairs = positive[:, None] - negative
    assert ranking.auc(np.ones(80)) == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())


def test_a_label_that_never_comes_has_no_auc_and_is_left_out_of_the_mean() -> None:
    answers = ClassAnswers(np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]]), np.array([0, 1]))
    assert np.isnan(answers.rankings[2].auc(np.ones(2)))
    assert answers.measures()["auc"] == 1.0
    assert answers.measures()["f1"] == 1.0


def test_curves_rise_from_nothing_to_everything() -> None:
    false, true = Ranking(np.array([True, False, True]), np.array([0.9, 0.5, 0.5])).roc(np.ones(3))
    assert false.tolist() == [0, 0, 1]
    assert true.tolist() == [0, 0.5, 1]


def test_confidences_that_are_as_often_right_as_they_say_have_no_error() -> None:
    said = np.tile([0.75, 0.25], (100, 1))
    answers = ClassAnswers(said, (np.arange(100) % 4 == 0).astype(np.int64))
    assert answers.measures()["calibration_error"] == pytest.approx(0.0)
    assert answers.calibration().share.max() == 1.0


def test_answers_are_of_the_kind_of_their_targets() -> None:
    said = np.zeros((2, 2), np.float32)
    assert isinstance(answers_of("class", said, np.array([0, 1])), ClassAnswers)
    assert isinstance(answers_of("multi_label", said, np.zeros((2, 2), np.float32)), LabelAnswers)
    assert isinstance(answers_of("numbers", said, np.zeros((2, 2), np.float32)), NumberAnswers)
