from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from model_export.errors import VidserveError
from training import cli

RECIPE = {
    "data": {
        "source": {"kind": "shapes", "count": 40, "frames": 4, "size": 16},
        "input": {"width": 16, "height": 16, "channels": 1, "frames": 4},
    },
    "net": [
        "global_pool",
        {"particle": "gru", "hidden": 4},
        "time_pool",
        {"particle": "linear", "channels": "outputs"},
    ],
    "fit": {"epochs": 1, "device": "cpu"},
}


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(RECIPE))
    return file


def train(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def test_a_run_is_trained_and_gone_on_with(recipe: Path) -> None:
    result = train(recipe, "fit.batch=16")

    assert result.exit_code == 0, result.output
    assert "40 clips in 5 classes (left 8, right 8, grow 8, shrink 8, spin 8): 29 to train, 5 to" in result.output
    assert "epoch 1/1" in result.output
    assert "Best was epoch 1: loss" in result.output
    assert (Path("runs") / "tiny" / "best.ckpt").is_file()
    assert (Path("runs") / "tiny" / "split.csv").is_file()
    again = train(recipe, "fit.batch=16", "--resume")
    assert again.exit_code == 0, again.output
    other = train(recipe, "fit.batch=8", "--resume")
    assert isinstance(other.exception, VidserveError)
    assert "fit.batch: 16 → 8" in str(other.exception)


def test_a_net_is_described_without_training(recipe: Path) -> None:
    result = train(recipe, "--describe")
    assert result.exit_code == 0, result.output
    assert "gru" in result.output
    assert "remembers 4 numbers a stream" in result.output
    assert not Path("runs").exists()


def test_the_whole_recipe_is_printed(recipe: Path) -> None:
    result = train(recipe, "fit.epochs=7", "--print-config")
    printed = yaml.safe_load(result.output)
    assert (printed["fit"]["epochs"], printed["fit"]["optimiser"]["kind"], printed["name"]) == (7, "adam", "tiny")


def test_help_needs_no_torch_and_is_one_command() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from training.cli import app;"
        "out = CliRunner().invoke(app, ['--help']).output; assert '--describe' in out, out;"
        "sys.exit(any(name in sys.modules for name in ('torch', 'lightning', 'yaml', 'cv2')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_where_torch_is_missing_it_is_said_what_to_install(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = "import importlib.util as u; find = u.find_spec\n"
    hidden += "u.find_spec = lambda name, *rest: None if name == 'torch' else find(name, *rest)\n"
    code = hidden + f"from training.cli import app\napp([{str(recipe)!r}], standalone_mode=False)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert "Training needs torch, which is not installed. pip install 'vidserve[train]'" in done.stderr
