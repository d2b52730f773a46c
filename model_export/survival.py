"""Whether ONNX Runtime lives through a graph, found out in a process of its own: there are some that crash it.

python -m model_export.survival FILE
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from model_export.errors import ImportRefused
from model_export.session import Session

_LOOK = (sys.executable, "-m", "model_export.survival")


def survives(content: bytes, look: Sequence[str] = _LOOK) -> bool:
    """Load a graph and run it once in another process. False: that was ended by a signal; what fails in words, lives.

    Args:
        content: an ONNX file.
        look: the command that does it, without the file.
    """
    with tempfile.TemporaryDirectory(prefix="vidserve-survival-") as folder:
        file = Path(folder) / "model.onnx"
        file.write_bytes(content)
        done = subprocess.run([*look, str(file)], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.returncode >= 0


def _look(file: Path) -> None:
    with suppress(ImportRefused):
        session = Session(file, name=file.name)
        session.run({one.name: np.zeros([size or 1 for size in one.shape], one.dtype) for one in session.inputs})


if __name__ == "__main__":
    _look(Path(sys.argv[1]))
