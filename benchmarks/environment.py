"""An environment of its own for what is measured against, made once and kept."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

from benchmarks.failure import NotMeasured


class Environment:
    """A virtual environment, in a folder named after what it must hold.

    Args:
        cache: where environments are kept.
        name: for the folder.
        pins: requirements of pip.

    Attributes:
        python: its interpreter.

    Raises:
        NotMeasured: pip could not install them.
    """

    def __init__(self, cache: Path, name: str, pins: Sequence[str]) -> None:
        digest = hashlib.sha256("\n".join((*pins, sys.version)).encode()).hexdigest()[:12]
        folder = cache / f"{name}-{digest}"
        self.python = folder / "bin" / "python"
        if (folder / "complete").exists():
            return
        print(f"Installing {pins[0]} into {folder} …", file=sys.stderr, flush=True)
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(self.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *pins]
        done = subprocess.run(pip, capture_output=True, text=True)
        if done.returncode:
            raise NotMeasured(f"pip could not install {' '.join(pins)}: {done.stderr[-1000:]}")
        (folder / "complete").touch()
