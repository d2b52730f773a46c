from __future__ import annotations

import csv
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from fit_builders import STILL_NET, MadeData, Shades, a_recipe, same_weights, shades, state_of, trained
from on_two_devices import FIT

from training.errors import ConfigInvalid, DeviceMissing, LossNotFinite
from training.fit import fit


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_net_learns_and_the_run_s_folder_tells_how(tmp_path: Path) -> None:
    told: list[str] = []

    outcome = fit(a_recipe(fit={"epochs": 4}), tmp_path / "run", lambda recipe, folder: shades(), say=told.append)

    assert outcome.kept["accuracy"] == 1.0
    rows = rows_of(tmp_path / "run")
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert {"seconds", "rate", "val_loss", "accuracy", "macro_f1"} <= set(rows[0])
    assert [line.partition("  ")[0] for line in told] == [f"epoch {number}/4" for number in (1, 2, 3, 4)]
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "recipe.yaml", "run.json", "last.ckpt", "best.ckpt", "metrics.csv", "curves.png", "tensorboard",
    }  # fmt: skip
    assert (tmp_path / "run" / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["labels"] == ["0", "1"]
    assert any((tmp_path / "run" / "tensorboard").iterdir())


def test_the_same_recipe_gives_the_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("two", 1), ("other", 2)):
        trained(tmp_path / name, seed=seed)
    assert same_weights(tmp_path / "one" / "last.ckpt", tmp_path / "two" / "last.ckpt")
    assert not same_weights(tmp_path / "one" / "last.ckpt", tmp_path / "other" / "last.ckpt")


def test_the_best_epoch_is_kept_beside_the_last(tmp_path: Path) -> None:
    outcome = trained(tmp_path, shades(), fit={"epochs": 3, "optimiser": {"kind": "sgd", "rate": 3.0}})
    best = torch.load(tmp_path / "best.ckpt", weights_only=True)
    assert len(best["rows"]) == outcome.kept["epoch"]
    assert best["rows"][-1] == outcome.kept


def test_the_last_epoch_is_kept_where_that_is_asked_for(tmp_path: Path) -> None:
    fitted = {"epochs": 3, "keep": "last", "optimiser": {"kind": "sgd", "rate": 3.0}}
    outcome = trained(tmp_path, shades(), fit=fitted)
    assert outcome.kept["epoch"] == 3
    assert same_weights(tmp_path / "best.ckpt", tmp_path / "last.ckpt")


@pytest.mark.parametrize("optimiser", [{"kind": "adam"}, {"kind": "adamw"}, {"kind": "sgd", "rate": 0.05}], ids=str)
@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ({"kind": "constant"}, [1.0, 1.0]),
        ({"kind": "step", "every": 1, "by": 0.1}, [1.0, 0.1]),
        # The rate of an epoch's last step: of six steps the third and the sixth.
        ({"kind": "cosine"}, [(1 + np.cos(np.pi * 2 / 6)) / 2, (1 + np.cos(np.pi * 5 / 6)) / 2]),
        ({"kind": "constant", "warmup": 2}, [3 / 6, 1.0]),
    ],
    ids=str,
)
def test_the_rate_goes_as_the_schedule_says(
    tmp_path: Path, optimiser: dict, schedule: dict, rates: list[float]
) -> None:
    trained(tmp_path, fit={"optimiser": optimiser, "schedule": schedule})
    base = optimiser.get("rate", 0.001)
    assert [float(row["rate"]) for row in rows_of(tmp_path)] == pytest.approx([base * rate for rate in rates], rel=1e-4)


def test_clips_labels_at_once_and_numbers_are_learnt_too(tmp_path: Path) -> None:
    sgd = {"epochs": 8, "optimiser": {"kind": "adam", "rate": 0.03}}
    clips = trained(tmp_path / "clips", shades(frames=3), frames=3, fit=sgd)
    labels = trained(tmp_path / "labels", shades(kind="multi_label"), fit=sgd)
    numbers = trained(tmp_path / "numbers", shades(kind="numbers"), fit=sgd)

    assert clips.kept["accuracy"] == 1.0
    assert labels.kept["macro_f1"] == 1.0
    assert numbers.kept["rmse"] < 0.3
    assert "average_precision" in labels.kept
    assert "mean_absolute_error" in numbers.kept


def test_labels_that_no_sample_to_validate_with_has_are_said_once_and_not_warned_of(tmp_path: Path) -> None:
    train = Shades(48, kind="multi_label", classes=3, augmented=True)
    data = MadeData(train, Shades(1, kind="multi_label", classes=3), ("rain", "snow", "hail"))
    said: list[str] = []
    fit(a_recipe(), tmp_path / "run", lambda *_: data, say=said.append)
    assert said[0] == "No sample to validate with has snow, hail: average precision counts 0 for it."
    assert all(line.startswith("epoch") for line in said[1:])


def test_it_stops_when_nothing_got_better_for_as_long_as_patience_lasts(tmp_path: Path) -> None:
    fitted = {"epochs": 30, "patience": 2, "optimiser": {"kind": "sgd", "rate": 1e-9}}
    outcome = trained(tmp_path, net=STILL_NET, fit=fitted)
    assert [row["epoch"] for row in outcome.rows] == [1, 2, 3]
    assert outcome.kept["epoch"] == 1


def test_a_rate_on_a_plateau_falls(tmp_path: Path) -> None:
    schedule = {"kind": "plateau", "patience": 1, "by": 0.5}
    fitted = {"epochs": 4, "schedule": schedule, "optimiser": {"kind": "sgd", "rate": 1e-9}}
    trained(tmp_path, net=STILL_NET, fit=fitted)
    assert [float(row["rate"]) / 1e-9 for row in rows_of(tmp_path)] == pytest.approx([1, 1, 0.5, 0.25])


def test_l1_and_l2_make_weights_small_and_leave_offsets_alone(tmp_path: Path) -> None:
    for name, loss in (("plain", {}), ("l1", {"l1": 0.1}), ("l2", {"l2": 1.0})):
        trained(tmp_path / name, fit={"epochs": 6, "loss": loss})
    linear = "net.chain.nodes.linear_4.particle.linear"
    size = {
        name: state_of(tmp_path / name / "last.ckpt")[f"{linear}.weight"].abs().mean() for name in ("plain", "l1", "l2")
    }
    assert size["l1"] < 0.5 * size["plain"]
    assert size["l2"] < 0.8 * size["plain"]


def test_lower_precision_trains_recurrent_nets_too(tmp_path: Path) -> None:
    outcome = trained(tmp_path, shades(frames=3), frames=3, fit={"precision": "bf16-mixed", "clip": 1.0})
    assert np.isfinite(outcome.rows[-1]["loss"])


@pytest.mark.slow
def test_batches_may_be_made_by_other_processes(tmp_path: Path) -> None:
    trained(tmp_path / "here")
    trained(tmp_path / "elsewhere", dataclasses.replace(shades(), workers=1))
    assert same_weights(tmp_path / "here" / "last.ckpt", tmp_path / "elsewhere" / "last.ckpt")


@pytest.mark.slow
def test_two_devices_share_batches_and_come_to_the_same(tmp_path: Path) -> None:
    script = Path(__file__).with_name("on_two_devices.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "two")], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    alone = trained(tmp_path / "one", net=STILL_NET, fit=FIT)

    one, two = state_of(tmp_path / "one" / "last.ckpt"), state_of(tmp_path / "two" / "last.ckpt")
    assert all(torch.allclose(one[name], two[name], atol=1e-6) for name in one)
    assert [float(row["loss"]) for row in rows_of(tmp_path / "two")] == pytest.approx(
        [row["loss"] for row in alone.rows], rel=1e-4
    )


def test_two_devices_of_a_cpu_that_was_not_named_train_nets_with_batch_norms(tmp_path: Path) -> None:
    script = Path(__file__).with_name("on_two_devices.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "two"), "norms"],
        capture_output=True, text=True, timeout=180, check=False, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(rows_of(tmp_path / "two")) == 2


def test_a_loss_that_is_no_number_stops_names_the_batch_and_keeps_what_was_good(tmp_path: Path) -> None:
    data = shades()

    class Spoilt(Shades):
        def batch(self, places, epoch):
            batch = super().batch(places, epoch)
            if epoch == 1 and 7 in places:
                batch.frames.float()
                spoilt = batch.frames.float()
                spoilt[0] = float("inf")
                return type(batch)(spoilt, batch.target, batch.index, batch.group)
            return batch

    spoilt = MadeData(Spoilt(48, augmented=True), data.validation, data.labels)
    with pytest.raises(LossNotFinite) as told:
        trained(tmp_path / "run", spoilt, fit={"epochs": 3})

    assert "epoch 2, batch " in str(told.value)
    assert "of 3 (samples " in str(told.value)
    trained(tmp_path / "good", fit={"epochs": 3})
    good = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert len(good["rows"]) == 1
    assert all(value.isfinite().all() for value in good["state_dict"].values())


def test_a_device_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(DeviceMissing, match="There is no cuda device here"):
        trained(tmp_path / "run", fit={"device": "cuda"})
    assert not (tmp_path / "run").exists()


def test_numbers_can_be_neither_smoothed_nor_balanced(tmp_path: Path) -> None:
    for loss in ({"smoothing": 0.1}, {"weights": "balanced"}):
        with pytest.raises(ConfigInvalid, match="neither smoothed nor balanced"):
            trained(tmp_path / "run", shades(kind="numbers"), fit={"loss": loss})
