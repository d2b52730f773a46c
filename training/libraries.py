"""The trainer's own libraries, which the server does without."""

from __future__ import annotations

from importlib.util import find_spec

from training.errors import TrainerMissing

LIBRARIES = (
    "torch",
    "lightning",
    "torchmetrics",
    "yaml",
    "kornia",
    "tensorboard",
    "matplotlib",
    "onnxscript",
    "optuna",
)


def see_libraries() -> None:
    """See that they are installed, before a command imports them.

    Raises:
        TrainerMissing: one is not.
    """
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if missing:
        raise TrainerMissing(
            f"Training needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed.",
            hint="pip install 'vidserve[train]'; in a clone of the repository: make train",
        )
