"""The `data` of a training configuration: where samples come from, how they are fitted, split, changed and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from training.configuration import Config
from training.data.augmentation import AugmentConfig
from training.data.frame_spec import FrameSpec
from training.data.listing import PICTURES, VIDEOS, Listing
from training.data.sources.folders import read_folders
from training.data.sources.idx import read_idx
from training.data.sources.shapes import moving_shapes
from training.data.sources.tables import read_list, read_table
from training.data.sources.voc import read_voc
from training.data.splitting import SplitConfig

Labels = Annotated[tuple[str, ...] | None, Field(description="the classes in their order; without it, sorted")]
Columns = Annotated[dict[str, str], Field(description="column of the file: the name that is meant (path, group, …)")]


class FolderSource(Config):
    """A folder for each class, of pictures (`images`) or of videos (`clips`)."""

    kind: Literal["images", "clips"]
    path: Path
    labels: Labels = None
    group: str | None = Field(default=None, description="regular expression; its bracket finds a file's group")

    def read(self) -> Listing:
        return read_folders(
            self.path, PICTURES if self.kind == "images" else VIDEOS, labels=self.labels, group=self.group
        )


class IdxSource(Config):
    """The idx files of MNIST and its relatives."""

    kind: Literal["idx"]
    path: Path
    labels: Labels = None

    def read(self) -> Listing:
        return read_idx(self.path, labels=self.labels)


class ListSource(Config):
    """A Kinetics list or CSV with a class on each line; files may be pictures or videos."""

    kind: Literal["list"]
    path: Path
    root: Path | None = Field(default=None, description="what paths are relative to; without it, the list's folder")
    labels: Labels = None
    columns: Columns = Field(default={})

    def read(self) -> Listing:
        return read_list(self.path, root=self.root, labels=self.labels, columns=self.columns)


class TableSource(Config):
    """A CSV with several labels (0 or 1), or several numbers, on each line."""

    kind: Literal["multi_label", "numbers"]
    path: Path
    root: Path | None = Field(default=None, description="what paths are relative to; without it, the table's folder")
    labels: Annotated[tuple[str, ...] | None, Field(description="the columns to learn; without it, all others")] = None
    columns: Columns = Field(default={})

    def read(self) -> Listing:
        return read_table(self.path, self.kind, root=self.root, labels=self.labels, columns=self.columns)


class VocSource(Config):
    """Boxes cut out of pictures that are annotated as Pascal VOC."""

    kind: Literal["voc"]
    path: Path
    labels: Labels = None
    margin: float = Field(default=0.1, ge=0, le=2, description="of the longer side, added on each side of a box")
    smallest: int = Field(default=4, ge=1, description="pixels of the shorter side of a box that is taken")

    def read(self) -> Listing:
        return read_voc(self.path, labels=self.labels, margin=self.margin, smallest=self.smallest)


class ShapesSource(Config):
    """Moving shapes, made on the spot: left, right, grow, shrink, spin."""

    kind: Literal["shapes"]
    count: int = Field(default=1500, ge=10, le=100_000)
    frames: int = Field(default=16, ge=4, le=256)
    size: int = Field(default=32, ge=16, le=256)
    seed: int = Field(default=0, ge=0, lt=2**63)

    def read(self) -> Listing:
        return moving_shapes(self.count, frames=self.frames, size=self.size, seed=self.seed)


Source = Annotated[
    FolderSource | IdxSource | ListSource | TableSource | VocSource | ShapesSource, Field(discriminator="kind")
]


class CacheConfig(Config):
    """Where decoded frames are kept."""

    folder: Path | None = Field(default=None, description="without it, vidserve/frames in the user's cache folder")
    gb: float = Field(default=20.0, ge=0, description="on disk, for all data sets together")
    memory_gb: float = Field(default=2.0, ge=0, description="a data set up to this size is held in memory")
    workers: int | None = Field(default=None, ge=0, le=256, description="processes that decode; without it, one a core")


class DataConfig(Config):
    """What is learnt from."""

    source: Source
    input: FrameSpec
    split: SplitConfig = SplitConfig()
    augment: AugmentConfig = AugmentConfig()
    cache: CacheConfig = CacheConfig()
    seed: int = Field(default=0, ge=0, lt=2**63, description="of augmentation")
