"""What the measurements share: videos, the model, and a data folder for servers that has it."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from model_export.bundle import Bundle

MODEL = "yolox-nano"
MOVING = "moving-objects"


class Stage(BaseModel):
    """
    Attributes:
        data: the data folder, with the model imported as `yolox-nano`.
        given: the folder of `--data`, or None.
        original: the model as it was published; None where only what needs none is measured.
        street: what cameras show.
        video: what most rows are measured on.
        gated: what the gate is measured on; the first is where it must gain.
        large: a video with large frames, or None.
        runs: how often each figure is taken.
        long_frames: how many frames the long video has at least.
        cache: a folder that stays.
        with_rival: whether to install and run it.
        seconds: how long cameras are watched.
        times: how often processes are killed and cameras go away.
        run: of the trainer, that is compressed; None: a short one of the benchmark's own.
    """

    model_config = ConfigDict(frozen=True)

    data: Path
    given: Path | None
    original: Path | None
    street: Path
    video: Path
    gated: tuple[Path, ...]
    large: Path | None
    runs: int
    long_frames: int
    cache: Path
    with_rival: bool
    seconds: float
    times: int
    run: Path | None = None

    @property
    def bundle(self) -> Bundle:
        """The model as it was imported."""
        return Bundle.open(self.data / "models" / MODEL / "1")
