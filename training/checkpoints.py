"""Checkpoints: written whole or not at all, after every epoch; and read back as weights."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor

from training import atomic
from training.errors import WeightsInvalid
from training.progress import Row

NET = "net."
"""What stands before the names of a net's weights in a checkpoint."""
ROWS = "rows"


class AtomicCheckpoints(TorchCheckpointIO):
    """Lightning's checkpoints, which it would write over the old ones."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write a checkpoint.

        Raises:
            RunNotWritten: no space is left; the checkpoint before is untouched.
        """
        content = io.BytesIO()
        torch.save(checkpoint, content)
        atomic.write(Path(path), content.getvalue())


def weights_of(checkpoint: Path) -> dict[str, Tensor]:
    """The weights of a checkpoint's net by name, on the CPU.

    Raises:
        WeightsInvalid: it cannot be read, or is not one of ours.
    """
    named: dict[str, Tensor] = _part_of(checkpoint, "state_dict")
    return {name.removeprefix(NET): value for name, value in named.items() if name.startswith(NET)}


def rows_of(checkpoint: Path) -> list[Row]:
    """The rows of the epochs that had ended, this one included.

    Raises:
        WeightsInvalid: it cannot be read, or is not one of ours.
    """
    rows: list[Row] = _part_of(checkpoint, ROWS)
    return rows


def _part_of(checkpoint: Path, key: str) -> Any:
    try:
        # Weights alone: a file from elsewhere runs no code here.
        return torch.load(checkpoint, map_location="cpu", weights_only=True)[key]
    except (OSError, RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
        raise WeightsInvalid(f"{checkpoint} cannot be read as a checkpoint: {error}") from error
