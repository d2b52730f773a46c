"""Which samples train, which validate and which test: by group, never by sample, and the classes in each alike.

The samples of a group go together: clips of one source resemble each other, and a net that has seen one knows the next.
Groups are placed one by one, the largest first, where the counts of the classes then come closest to their share.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import Field

from training.configuration import Config
from training.data.listing import Listing, Split
from training.errors import SplitInvalid

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

COLUMNS = ("sample", "target", "group", "split")
_GOLDEN = (5**0.5 - 1) / 2
_BANDS = 5
"""Equally full bands of numbers that are spread like classes."""


class SplitConfig(Config):
    """How the data are split."""

    val: float = Field(default=0.15, ge=0, lt=1, description="part that validates")
    test: float = Field(default=0.15, ge=0, lt=1, description="part that tests; without folds or given lists")
    folds: int | None = Field(default=None, ge=2, le=50, description="the whole in so many parts; one of them tests")
    fold: int = Field(default=0, ge=0, description="which of the folds tests, from 0")
    stratify: bool = Field(default=True, description="classes in each part as in the whole, as far as groups allow")
    given: bool = Field(default=True, description="honour lists that come with the data")
    seed: int = Field(default=0, ge=0, lt=2**63)
    file: Path | None = Field(default=None, description="a split.csv of another run, to be used again")


def split(listing: Listing, config: SplitConfig) -> list[Split]:
    """The split of each sample.

    Given lists are kept as they are. Where they name no validation samples, those are cut from the ones for training.

    Raises:
        SplitInvalid: too few groups, a class that would not be trained, a group in two given lists, or a file that does
            not fit the data.
    """
    if config.file is not None:
        return read_split(config.file, listing)
    random = np.random.default_rng(config.seed)
    splits: list[Split | None] = [sample.split if config.given else None for sample in listing.samples]
    if config.folds is not None:
        if config.fold >= config.folds:
            raise SplitInvalid(f"There is no fold {config.fold} of {config.folds}; they are counted from 0.")
        fold = _placed(listing, range(len(listing)), [1 / config.folds] * config.folds, config.stratify, random)
        splits = [Split.TEST if one == config.fold else None for one in fold]
    given = {one for one in splits if one is not None}
    _check_groups(listing, splits)
    free = [at for at, one in enumerate(splits) if one is None or one is Split.TRAIN]
    parts = {
        Split.VALIDATION: 0.0 if Split.VALIDATION in given else config.val,
        Split.TEST: 0.0 if given else config.test,
    }
    parts = {name: part for name, part in parts.items() if part}
    if sum(parts.values()) >= 1:
        raise SplitInvalid("`split.val` and `split.test` leave nothing to train with.")
    names = [Split.TRAIN, *parts]
    placed = _placed(listing, free, [1 - sum(parts.values()), *parts.values()], config.stratify, random)
    for at, place in zip(free, placed, strict=True):
        splits[at] = names[place]
    done = [one or Split.TRAIN for one in splits]
    _check(listing, done, wanted=set(names) | given)
    return done


def write_split(path: Path, listing: Listing, splits: Sequence[Split]) -> None:
    """Write the split as CSV with the header `COLUMNS`."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for sample, one in zip(listing.samples, splits, strict=True):
            shown = (
                listing.labels[sample.target] if isinstance(sample.target, int) else " ".join(map(str, sample.target))
            )
            writer.writerow((sample.id, shown, sample.group, one.value))


def read_split(path: Path, listing: Listing) -> list[Split]:
    """The split of each sample, as `write_split` wrote it.

    Raises:
        SplitInvalid: it cannot be read, or it is not of these samples; says how many are new or gone.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            found = {row["sample"]: Split(row["split"]) for row in csv.DictReader(file)}
    except OSError as error:
        raise SplitInvalid(f"{path} cannot be read: {error.strerror}.") from error
    except (KeyError, ValueError) as error:
        raise SplitInvalid(f"{path} is no list of splits: its columns are {', '.join(COLUMNS)}.") from error
    here = {sample.id for sample in listing.samples}
    for what, names in (("new", here - set(found)), ("gone", set(found) - here)):
        if names:
            raise SplitInvalid(
                f"{len(names)} samples are {what} since {path} was written, such as {min(names)!r}.",
                hint="Bring the data back to what they were, or start a new run with them.",
            )
    return [found[sample.id] for sample in listing.samples]


def _placed(
    listing: Listing, places: Sequence[int], shares: Sequence[float], stratify: bool, random: np.random.Generator
) -> list[int]:
    """Which share each sample at `places` falls into, group by group."""
    at = np.asarray(places, np.int64)
    classes = _classes(listing)[at] if stratify else np.ones((len(at), 1))
    groups, group_of = np.unique(listing.group_ids[at], return_inverse=True)
    counts = np.zeros((len(groups), classes.shape[1]))
    np.add.at(counts, group_of, classes)
    if len(groups) < len(shares):
        raise SplitInvalid(
            f"There are {len(groups)} groups to be split into {len(shares)} parts.",
            hint="A group is never torn apart. Take fewer parts or folds, or more sources.",
        )
    chosen = _alone(counts, shares, random) if len(groups) == len(at) else _greedy(counts, np.array(shares), random)
    return [int(chosen[one]) for one in group_of]


def _alone(counts: F64, shares: Sequence[float], random: np.random.Generator) -> I64:
    """Every sample is its own group: shuffle, order by class, and deal each class out in its shares."""
    order = random.permutation(len(counts))
    order = order[np.lexsort(counts[order].T)]
    # Multiples of the golden ratio fill 0…1 evenly over any run, so each class is cut in the same shares.
    edges = np.cumsum(shares)[:-1]
    chosen = np.empty(len(order), np.int64)
    chosen[order] = np.searchsorted(edges, np.arange(len(order)) * _GOLDEN % 1.0, side="right")
    return chosen


def _greedy(counts: F64, shares: F64, random: np.random.Generator) -> I64:
    """Places groups with counts [G, C], the largest first, so that the classes come closest to their shares."""
    total = np.maximum(counts.sum(axis=0), 1)
    order = random.permutation(len(counts))
    order = order[np.argsort(-(counts[order] / total).max(axis=1), kind="stable")]
    filled = np.zeros((len(shares), counts.shape[1]))
    chosen = np.empty(len(counts), np.int64)
    for group in order:
        # How far each class is from its share, as a part of that share, if the group goes there.
        before = (((filled / total) / shares[:, None] - 1) ** 2 * shares[:, None]).sum(axis=1)
        after = ((((filled + counts[group]) / total) / shares[:, None] - 1) ** 2 * shares[:, None]).sum(axis=1)
        place = int(np.argmin(after - before))
        filled[place] += counts[group]
        chosen[group] = place
    return chosen


def _classes(listing: Listing) -> F64:
    """float64 [samples, C]: what is to be spread alike: classes, labels, or bands of the first number."""
    if listing.kind == "class":
        return np.eye(len(listing.labels))[listing.targets.astype(np.int64)]
    if listing.kind == "multi_label":
        # A sample without any label counts as well.
        return np.concatenate([listing.targets, np.ones((len(listing), 1))], axis=1).astype(np.float64)
    first = listing.targets[:, 0].astype(np.float64)
    edges = np.quantile(first, np.linspace(0, 1, _BANDS + 1)[1:-1])
    return np.eye(_BANDS)[np.searchsorted(edges, first)]


def _check_groups(listing: Listing, splits: Sequence[Split | None]) -> None:
    """Given lists must not tear a group apart."""
    seen: dict[str, Split] = {}
    for sample, one in zip(listing.samples, splits, strict=True):
        if one is not None and seen.setdefault(sample.group, one) is not one:
            raise SplitInvalid(
                f"The group {sample.group!r} is in the given lists for {seen[sample.group]} and for {one}.",
                hint="Mend the lists, or have the data split anew with `split.given: false`.",
            )


def _check(listing: Listing, splits: Sequence[Split], *, wanted: set[Split]) -> None:
    missing = wanted - set(splits)
    if missing:
        raise SplitInvalid(
            f"No group is left for {min(missing)}: the data have {len(listing.groups)} groups.",
            hint="A group is never torn apart. Take more sources, or set the part to 0.",
        )
    if listing.kind == "class":
        trained = {sample.target for sample, one in zip(listing.samples, splits, strict=True) if one is Split.TRAIN}
        lost = {sample.target for sample in listing.samples} - trained
        if lost:
            label = listing.labels[int(min(lost))]  # type: ignore[arg-type]
            raise SplitInvalid(
                f"No sample of the class {label!r} would be trained with: all of its groups are elsewhere.",
                hint="Another `split.seed` may do; else the class needs more sources.",
            )
