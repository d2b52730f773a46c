"""The command, with data, export and ONNX Runtime as they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from model_export.errors import VidserveError
from training import cli as training_cli
from training.search import cli

SEARCH = {
    "data": {
        "source": {"kind": "shapes", "count": 40, "frames": 4, "size": 16},
        "input": {"width": 16, "height": 16, "channels": 1, "frames": 4},
    },
    "net": [
        "global_pool",
        {"particle": "gru", "hidden": 4},
        {"particle": "time_pool"},
        {"particle": "linear", "channels": "outputs"},
    ],
    "fit": {
        "epochs": 3,
        "batch": 16,
        "device": "cpu",
        "optimiser": {"kind": "adam", "rate": {"range": [0.001, 0.1], "log": True}},
    },
    "search": {"trials": 9, "epochs": 1},
}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(yaml.safe_dump(SEARCH))


def tune(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, arguments)


def test_a_search_ends_in_recipes_that_train_takes() -> None:
    result = tune("tiny.yaml", "--trials", "2")

    assert result.exit_code == 0, result.output
    assert "The Pareto front of 2 trials" in result.output
    assert "fit.optimiser.rate 0.0" in result.output
    folder = Path("studies") / "tiny"
    assert str(folder) in result.output
    assert (folder / "pareto.png").is_file()

    trained = CliRunner().invoke(training_cli.app, [str(folder / "best-1.yaml"), "fit.epochs=1"])
    assert trained.exit_code == 0, trained.output
    assert (Path("runs") / "tiny-1" / "best.ckpt").is_file()

    other = tune("tiny.yaml", "fit.batch=8")
    assert isinstance(other.exception, VidserveError)
    assert "fit.batch: 16 → 8" in str(other.exception)


def test_help_needs_no_torch_and_is_one_command() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from training.search.cli import app;"
        "out = CliRunner().invoke(app, ['--help']).output; assert '--timeout' in out, out;"
        "sys.exit(any(name in sys.modules for name in ('torch', 'optuna', 'yaml', 'cv2')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_stopped_by_hand_it_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*arguments: object, **more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("training.search.searching.search_for", stopped)
    result = tune("tiny.yaml")
    assert result.exit_code == 1
    assert "the same command goes on" in result.output
