from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from fit_builders import STILL_NET, MadeData, Shades, a_recipe, same_weights, shades, trained

from training import atomic
from training.errors import NothingToResume, RunChanged, RunExists, RunNotWritten
from training.fit import fit
from training.run_folder import RunFolder

KILLED_RUN = Path(__file__).with_name("killed_run.py")


def without_seconds(folder: Path) -> list[dict[str, float]]:
    rows = torch.load(folder / "last.ckpt", weights_only=True)["rows"]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def test_a_run_that_is_killed_again_and_again_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(KILLED_RUN), str(tmp_path)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    kills = int(done.stdout.split()[-1])

    assert kills >= 5
    for checkpoint in ("last.ckpt", "best.ckpt"):
        assert same_weights(tmp_path / "undisturbed" / checkpoint, tmp_path / "killed" / checkpoint)
    assert without_seconds(tmp_path / "undisturbed") == without_seconds(tmp_path / "killed")
    assert len((tmp_path / "killed" / "metrics.csv").read_text().splitlines()) == 1 + 8


def stopping_in(epoch: int) -> MadeData:
    """Data whose reading fails in an epoch."""

    def fail(now: int, places: object) -> None:
        if now == epoch:
            raise KeyboardError

    return shades(before=fail)


class KeyboardError(Exception):
    """Somebody pulled a plug."""


def test_a_run_that_stopped_in_the_middle_of_an_epoch_does_that_epoch_again(tmp_path: Path) -> None:
    fitted = {"epochs": 4, "schedule": {"kind": "plateau", "patience": 1}, "patience": 3}
    trained(tmp_path / "whole", fit=fitted)
    with pytest.raises(KeyboardError):
        trained(tmp_path / "stopped", stopping_in(2), fit=fitted)
    assert len(without_seconds(tmp_path / "stopped")) == 2

    outcome = trained(tmp_path / "stopped", resume=True, fit=fitted)

    assert [row["epoch"] for row in outcome.rows] == [1, 2, 3, 4]
    assert same_weights(tmp_path / "whole" / "last.ckpt", tmp_path / "stopped" / "last.ckpt")
    assert without_seconds(tmp_path / "whole") == without_seconds(tmp_path / "stopped")


def test_a_run_that_sigterm_ends_says_so_keeps_what_was_finished_and_goes_on(tmp_path: Path) -> None:
    def terminate(epoch: int, places: object) -> None:
        if epoch == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    said: list[str] = []
    with pytest.raises(SystemExit) as ended:
        fit(a_recipe(), tmp_path / "run", lambda *_: shades(before=terminate), say=said.append)

    assert ended.value.code == 143
    assert said[-1] == "Stopped. What was finished is kept; --resume goes on."
    assert len(without_seconds(tmp_path / "run")) == 1
    assert len(trained(tmp_path / "run", resume=True).rows) == 2


def test_a_finished_run_is_not_trained_further(tmp_path: Path) -> None:
    trained(tmp_path / "run")
    before = (tmp_path / "run" / "last.ckpt").read_bytes()
    outcome = trained(tmp_path / "run", resume=True)
    assert len(outcome.rows) == 2
    assert (tmp_path / "run" / "last.ckpt").read_bytes() == before


def test_a_run_that_had_stopped_early_is_not_trained_further(tmp_path: Path) -> None:
    fitted = {"epochs": 30, "patience": 2, "optimiser": {"kind": "sgd", "rate": 1e-9}}
    trained(tmp_path / "run", net=STILL_NET, fit=fitted)
    assert len(trained(tmp_path / "run", resume=True, net=STILL_NET, fit=fitted).rows) == 3


def test_a_resume_with_another_recipe_is_refused_and_shows_the_difference(tmp_path: Path) -> None:
    trained(tmp_path / "run")
    with pytest.raises(RunChanged) as told:
        trained(tmp_path / "run", resume=True, fit={"epochs": 9, "optimiser": {"kind": "sgd", "rate": 0.1}}, seed=3)
    for line in (
        "fit.epochs: 2 → 9",
        "fit.optimiser.kind: adam → sgd",
        "fit.optimiser.betas.0: 0.9 → absent",
        "seed: 0 → 3",
    ):
        assert line in str(told.value)


def test_a_resume_with_other_data_is_refused(tmp_path: Path) -> None:
    trained(tmp_path / "run")
    data = shades()
    with pytest.raises(RunChanged, match="The data are not those"):
        trained(tmp_path / "run", MadeData(data.train, data.validation, data.labels, fingerprint="b" * 64), resume=True)


def test_what_cannot_be_resumed_or_begun_is_said(tmp_path: Path) -> None:
    with pytest.raises(NothingToResume):
        trained(tmp_path / "nowhere", resume=True)
    trained(tmp_path / "run")
    with pytest.raises(RunExists) as told:
        trained(tmp_path / "run")
    assert "--resume" in str(told.value)
    assert "name=shades-2" in str(told.value)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("not to be lost")
    with pytest.raises(RunExists, match="Something that is no run"):
        trained(tmp_path / "other")
    assert (tmp_path / "other" / "thesis.txt").exists()


def test_a_run_that_finished_no_epoch_is_begun_anew_or_gone_on_with(tmp_path: Path) -> None:
    for resume in (False, True):
        with pytest.raises(KeyboardError):
            trained(tmp_path / str(resume), stopping_in(0))
        # What writes for TensorBoard has a thread, and would write into a folder that is begun anew.
        assert not [one for one in threading.enumerate() if "Writer" in type(one).__name__]
        assert len(trained(tmp_path / str(resume), resume=resume).rows) == 2


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file can grow beyond this many bytes, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_during_a_checkpoint_leaves_the_old_one(tmp_path: Path) -> None:
    trained(tmp_path / "run", fit={"epochs": 1})
    before = (tmp_path / "run" / "last.ckpt").read_bytes()
    with room_for(2000), pytest.raises(RunNotWritten) as told:
        atomic.write(tmp_path / "run" / "last.ckpt", b"x" * 5000)
    assert "last.ckpt could not be written" in str(told.value)
    assert (tmp_path / "run" / "last.ckpt").read_bytes() == before
    assert not list((tmp_path / "run").glob("*.part"))


def test_a_run_whose_disk_was_full_goes_on_when_there_is_room(tmp_path: Path) -> None:
    limit = room_for(3000)

    def fill(epoch: int, places: object) -> None:
        if epoch == 1 and resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 3000:
            limit.__enter__()

    try:
        with pytest.raises(RunNotWritten):
            trained(tmp_path / "run", shades(before=fill), fit={"epochs": 3})
    finally:
        limit.__exit__(None, None, None)
    assert len(without_seconds(tmp_path / "run")) == 1

    trained(tmp_path / "run", resume=True, fit={"epochs": 3})
    trained(tmp_path / "whole", fit={"epochs": 3})

    assert same_weights(tmp_path / "whole" / "last.ckpt", tmp_path / "run" / "last.ckpt")


def test_a_best_epoch_that_a_kill_kept_from_its_place_gets_there(tmp_path: Path) -> None:
    fitted = {"epochs": 3}
    with pytest.raises(KeyboardError):
        trained(tmp_path / "run", stopping_in(1), fit=fitted)
    (tmp_path / "run" / "best.ckpt").unlink()
    with pytest.raises(KeyboardError):
        trained(tmp_path / "run", stopping_in(1), resume=True, fit=fitted)
    assert same_weights(tmp_path / "run" / "best.ckpt", tmp_path / "run" / "last.ckpt")


def test_what_a_kill_kept_from_being_written_after_the_last_epoch_is_written(tmp_path: Path) -> None:
    trained(tmp_path / "run", fit={"epochs": 3})
    metrics, best = tmp_path / "run" / "metrics.csv", tmp_path / "run" / "best.ckpt"
    whole = metrics.read_text()
    metrics.write_text("".join(whole.splitlines(keepends=True)[:-1]))
    best.unlink()
    trained(tmp_path / "run", resume=True, fit={"epochs": 3})
    assert metrics.read_text() == whole
    assert same_weights(best, tmp_path / "run" / "last.ckpt")


def test_a_recipe_is_read_back_as_it_was(tmp_path: Path) -> None:
    from fit_builders import a_recipe

    trained(tmp_path / "run")
    assert RunFolder(tmp_path / "run").recipe() == a_recipe()
    assert Shades(3).batch([0], 0).index.tolist() == [0]
