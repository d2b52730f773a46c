"""From a configuration to a data set: list, split, read, and write down in the run's folder what came of it."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import ValidationError

from training.configuration import Config
from training.data.cache import FrameCache, default_folder
from training.data.config import CacheConfig, DataConfig
from training.data.dataset import LoadedData, Samples
from training.data.frame_spec import FrameSpec
from training.data.listing import Listing, Split, hash_of
from training.data.reading import read_all
from training.data.splitting import read_split, split, write_split
from training.data.stores import DiskStore, Gathering, MemoryStore, Store
from training.errors import ClassesChanged, DataInvalid, SplitInvalid

Say = Callable[[int, int], None]
"""Told how many samples of how many have been read."""

SPLIT, DESCRIPTION, BROKEN = "split.csv", "data.json", "broken.csv"
"""In a run's folder."""
_NEW_RUN = "Start a new run; `transfer.weights` of the old one give it a head start. Or bring the classes back."


class DataDescription(Config):
    """What a run was trained with; `data.json` in its folder.

    Attributes:
        samples: of each part.
        counts: samples of each label in all parts.
    """

    labels: tuple[str, ...]
    kind: Literal["class", "multi_label", "numbers"]
    input: FrameSpec
    samples: dict[str, int]
    counts: dict[str, int]
    groups: int
    broken: int
    fingerprint: str

    @classmethod
    def read(cls, run: Path) -> DataDescription:
        """Of a run's folder.

        Raises:
            DataInvalid: it has none, or one that cannot be read.
        """
        try:
            return cls.model_validate_json((run / DESCRIPTION).read_bytes())
        except (OSError, ValidationError) as error:
            raise DataInvalid(f"{run / DESCRIPTION} cannot be read, so it is not known what was trained.") from error


def load_data(config: DataConfig, run: Path | None = None, *, say: Say = lambda done, total: None) -> LoadedData:
    """Make a data set ready.

    Args:
        run: the run's folder. The split is written there, with what is broken and what was learnt. A split that is
            there already is used again, and nothing is written.

    Raises:
        DataError: the data cannot be used, or are not those that the run began with.
    """
    listing = config.source.read()
    known = run / SPLIT if run is not None and (run / SPLIT).exists() else None
    if run is not None and known is not None:
        check_classes(DataDescription.read(run).labels, listing.labels)
    splits = read_split(known, listing) if known is not None else split(listing, config.split)
    store, contents, broken = _read(listing, config.input, config.cache, say)
    members = {
        part: np.array([at for at, one in enumerate(splits) if one is part and at not in broken], np.int64)
        for part in Split
    }
    for part, of in members.items():
        if part in splits and not len(of):
            raise SplitInvalid(f"Every sample for {part} is broken.", hint="Mend the files, or split anew.")
    if Split.VALIDATION not in splits:
        raise SplitInvalid("There are no samples to validate with.", hint="Set `split.val` above 0.")

    def samples(part: Split) -> Samples:
        whole = _samples(listing, store, config.input.frames)
        chosen = replace(
            whole, index=members[part], targets=whole.targets[members[part]], groups=whole.groups[members[part]]
        )
        return replace(chosen, augment=config.augment, seed=config.seed) if part is Split.TRAIN else chosen

    divided = "\n".join(splits)
    data = LoadedData(
        labels=listing.labels,
        kind=listing.kind,
        groups=listing.groups,
        input=config.input,
        train=samples(Split.TRAIN),
        validation=samples(Split.VALIDATION),
        test=samples(Split.TEST) if Split.TEST in splits else None,
        fingerprint=hashlib.sha256(f"{hash_of(listing, contents)}\n{divided}".encode()).hexdigest(),
        workers=0 if isinstance(store, MemoryStore) else _workers(config.cache),
        broken={listing.samples[at].id: why for at, why in broken.items()},
        names=tuple(sample.id for sample in listing.samples),
    )
    if run is not None and known is None:
        _write_down(run, listing, splits, data)
    return data


def load_samples(
    listing: Listing, spec: FrameSpec, cache: CacheConfig, *, say: Say = lambda done, total: None
) -> tuple[Samples, dict[str, str]]:
    """All samples of a listing without a split, and those that are broken, with the reasons."""
    store, _, broken = _read(listing, spec, cache, say)
    whole = _samples(listing, store, spec.frames)
    index = np.array([at for at in range(len(listing)) if at not in broken], np.int64)
    readable = replace(whole, index=index, targets=whole.targets[index], groups=whole.groups[index])
    return readable, {listing.samples[at].id: why for at, why in broken.items()}


def check_classes(before: Sequence[str], now: Sequence[str], *, hint: str = _NEW_RUN) -> None:
    """See that the classes are those that a run was trained with.

    Args:
        hint: what to do if they are not.

    Raises:
        ClassesChanged: names what was added, what is gone, or that the order is another.
    """
    if tuple(before) == tuple(now):
        return
    added, gone = [one for one in now if one not in before], [one for one in before if one not in now]
    changes = [f"{', '.join(added)} came"] * bool(added) + [f"{', '.join(gone)} went"] * bool(gone)
    raise ClassesChanged(
        f"The classes are not those that the run was trained with: {' and '.join(changes) or 'their order changed'}.",
        hint=hint,
    )


def _read(listing: Listing, spec: FrameSpec, config: CacheConfig, say: Say) -> tuple[Store, list[str], dict[int, str]]:
    """The store, the hash of each sample's content, and place → reason of the broken ones."""
    if listing.pixels is not None:
        return _of_pixels(listing, spec)
    cache = FrameCache(config.folder or default_folder(os.environ), int(config.gb * 1e9))
    gathering = Gathering(len(listing), int(config.memory_gb * 1e9))
    readings = read_all(listing, spec, cache, workers=_workers(config), keep=gathering.keep, say=say)
    store = gathering.store() or DiskStore(listing.samples, [one.key for one in readings], spec, cache.folder)
    return store, [one.content for one in readings], {one.at: one.broken for one in readings if one.broken}


def _of_pixels(listing: Listing, spec: FrameSpec) -> tuple[Store, list[str], dict[int, str]]:
    """Frames that came with the listing are taken as they are: they must have the size that is asked for."""
    assert listing.pixels is not None
    count, time, height, width, channels = listing.pixels.shape
    if (height, width, channels) != (spec.height, spec.width, spec.channels):
        raise DataInvalid(
            f"The data are {width} × {height} pixels of {channels} channels, and `data.input` asks for {spec.width} ×"
            f" {spec.height} of {spec.channels}.",
            hint=f"Set width: {width}, height: {height}, channels: {channels}.",
        )
    frames = listing.pixels.reshape(count * time, height, width, channels)
    contents = [hashlib.sha256(one.tobytes()).hexdigest() for one in listing.pixels]
    return MemoryStore(frames, np.full(count, time, np.int64)), contents, {}


def _samples(listing: Listing, store: Store, frames: int) -> Samples:
    return Samples(
        index=np.arange(len(listing), dtype=np.int64),
        targets=listing.targets,
        groups=listing.group_ids,
        store=store,
        frames=frames,
        augment=None,
        seed=0,
        classes=len(listing.labels),
    )


def _workers(config: CacheConfig) -> int:
    return (os.cpu_count() or 1) if config.workers is None else config.workers


def _write_down(run: Path, listing: Listing, splits: Sequence[Split], data: LoadedData) -> None:
    run.mkdir(parents=True, exist_ok=True)
    parts = {"train": data.train, "val": data.validation, "test": data.test}
    described = DataDescription(
        labels=data.labels,
        kind=data.kind,
        input=data.input,
        samples={name: len(part) for name, part in parts.items() if part is not None},
        counts=listing.counts(),
        groups=len(listing.groups),
        broken=len(data.broken),
        fingerprint=data.fingerprint,
    )
    (run / DESCRIPTION).write_text(described.model_dump_json(indent=2) + "\n", encoding="utf-8")
    with (run / BROKEN).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("sample", "why"))
        writer.writerows(data.broken.items())
    # Last, because it says that the others are there.
    write_split(run / SPLIT, listing, splits)
