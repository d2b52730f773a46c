"""What a data set consists of, before a single pixel is read."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from training.errors import DataInvalid, DataNotFound, OneClass

if TYPE_CHECKING:
    # It imports torch, which processes that only decode have no use for.
    from training.batch import TargetKind

U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]
F32 = npt.NDArray[np.float32]

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm"})
VIDEOS = frozenset({".mp4", ".avi", ".mkv", ".mov", ".webm", ".mpg", ".mpeg", ".m4v", ".ts", ".wmv", ".gif"})


class Split(StrEnum):
    """Which part of the data a sample belongs to."""

    TRAIN = "train"
    VALIDATION = "val"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture, clip, or part of one.

    Attributes:
        id: names it in lists and messages; no two samples have the same.
        path: the file.
        target: the class, or a number for each label (0 or 1) or column.
        group: what must not be torn apart by a split, such as the source of a clip.
        split: what a given list says that it is for; None where none does.
        start_s, end_s: the part of a video, in seconds of media time.
        box: the part of a picture, x1 y1 x2 y2 in pixels.
    """

    id: str
    path: Path
    target: int | tuple[float, ...]
    group: str
    split: Split | None = None
    start_s: float | None = None
    end_s: float | None = None
    box: tuple[int, int, int, int] | None = None


@dataclass(frozen=True)
class Listing:
    """A data set's samples, in an order that depends on nothing but the data.

    Attributes:
        labels: of the classes, or names of the numbers.
        kind: what the targets are.
        pixels: uint8 [samples, T, H, W, C], where they came with the listing and need no decoding.
    """

    samples: tuple[Sample, ...]
    labels: tuple[str, ...]
    kind: TargetKind
    pixels: U8 | None = None

    def __len__(self) -> int:
        return len(self.samples)

    @cached_property
    def targets(self) -> I64 | F32:
        """int64 [samples] of classes, else float32 [samples, labels]."""
        values = [sample.target for sample in self.samples]
        return np.array(values, np.int64) if self.kind == "class" else np.array(values, np.float32)

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """The names of the groups, sorted."""
        return tuple(sorted({sample.group for sample in self.samples}))

    @cached_property
    def group_ids(self) -> I64:
        """int64 [samples], places in `groups`."""
        place = {name: at for at, name in enumerate(self.groups)}
        return np.array([place[sample.group] for sample in self.samples], np.int64)

    def counts(self) -> dict[str, int]:
        """Samples of each label; of numbers, how many there are at all."""
        if self.kind == "class":
            numbers = np.bincount(self.targets.astype(np.int64), minlength=len(self.labels))
        elif self.kind == "multi_label":
            numbers = (self.targets > 0.5).sum(axis=0)
        else:
            numbers = np.full(len(self.labels), len(self))
        return {label: int(number) for label, number in zip(self.labels, numbers, strict=True)}

    def checked(self, *, where: Path) -> Listing:
        """Itself, once it is something that can be learnt from.

        Raises:
            DataNotFound: there are no samples.
            DataInvalid: two samples have the same id.
            OneClass: every sample has the same class.
        """
        if not self.samples:
            raise DataNotFound(f"There is nothing to learn from in {where}.", hint="See docs/train-your-own.md.")
        twice = [name for name, times in Counter(sample.id for sample in self.samples).items() if times > 1]
        if twice:
            raise DataInvalid(f"{where} names {twice[0]!r} more than once.", hint="Keep one line of each sample.")
        if self.kind == "class" and len(found := {sample.target for sample in self.samples}) < 2:
            only = self.labels[int(next(iter(found)))]  # type: ignore[arg-type]
            raise OneClass(
                f"Every one of the {len(self)} samples in {where} is of the class {only!r}.",
                hint="A classifier needs at least two; add a folder or lines of another.",
            )
        return self


def existing(path: Path, *, folder: bool) -> Path:
    """A path of the kind that it must be.

    Raises:
        DataNotFound: there is no such folder or file.
    """
    if not (path.is_dir() if folder else path.is_file()):
        kind = "folder" if folder else "file"
        why = "it is something else" if path.exists() else "it does not exist"
        raise DataNotFound(f"{path} is no {kind}: {why}.", hint="Set `data.source.path` to where the data are.")
    return path


def class_ids(names: Iterable[str], labels: Sequence[str] | None, *, where: Path) -> tuple[list[int], tuple[str, ...]]:
    """The class of each name, and the labels: those given, else the sorted names.

    Raises:
        DataInvalid: a name is not among the labels that were given.
    """
    names = list(names)
    known = tuple(labels) if labels else tuple(sorted(set(names)))
    place = {name: at for at, name in enumerate(known)}
    strange = sorted(set(names) - set(known))
    if strange:
        raise DataInvalid(
            f"{where} has the class {strange[0]!r}, which is not among the labels: {', '.join(known)}.",
            hint="Add it to `data.source.labels`, or take its samples away.",
        )
    return [place[name] for name in names], known


def hash_of(listing: Listing, contents: Iterable[str]) -> str:
    """SHA-256 of all that is learnt from: ids, targets, groups and the hash of each sample's content, in order."""
    digest = hashlib.sha256("\0".join(listing.labels).encode())
    for sample, content in zip(listing.samples, contents, strict=True):
        digest.update(f"\n{sample.id}\0{sample.target}\0{sample.group}\0{content}".encode())
    return digest.hexdigest()
