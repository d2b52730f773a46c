"""What a model is asked about: a part of a run's data or of a recipe's, or a folder or list by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from training.batch import Part, TargetKind
from training.data.config import CacheConfig, DataConfig, FolderSource, IdxSource, ListSource, TableSource, VocSource
from training.data.listing import PICTURES, VIDEOS, Split
from training.data.loading import check_classes, load_data, load_samples
from training.errors import DataInvalid, DataNotFound
from training.evaluation.predictor import Predictor
from training.recipe import read_recipe
from training.run_folder import RECIPE, RunFolder

Say = Callable[[int, int], None]

UNTESTED = (
    "{} keeps no samples for tests. These validated: they chose the best epoch, so new ones will be answered worse; "
    "data.split.test keeps some."
)
_HINT = "Ask the model about data with its own classes, in the same order."


@dataclass(frozen=True, slots=True)
class Asked:
    """Samples to ask a model about.

    Attributes:
        title: what they are, for the report.
        groups, names: of the whole data set; batches hold places in them.
        caution: what is to be said of the figures, if anything.
    """

    part: Part
    title: str
    labels: tuple[str, ...]
    groups: tuple[str, ...]
    names: tuple[str, ...]
    caution: str = ""


@dataclass(frozen=True, slots=True)
class Described:
    """Data that say themselves how they are fitted and split.

    Attributes:
        run: whose split is used; None: the recipe's own.
    """

    config: DataConfig
    run: Path | None
    title: str


def described(path: Path) -> Described | None:
    """The data of a run or of a recipe; None where the path is neither.

    Raises:
        ConfigInvalid: a recipe with something in it that cannot be.
    """
    if (path / RECIPE).is_file():
        recipe = RunFolder(path).recipe()
        return Described(recipe.data, path, recipe.name)
    if path.suffix in (".yaml", ".yml") and path.is_file():
        recipe = read_recipe(path)
        return Described(recipe.data, None, recipe.name)
    return None


def ask_described(data: Described, predictor: Predictor, split: Split | None, *, say: Say) -> Asked:
    """A part of the data, fitted for the model.

    Args:
        split: None: what is kept for tests, else what validates.

    Raises:
        DataError: the data cannot be used, are of another kind or other classes, or have no such part.
    """
    # Grey data stay grey; models of colours take them all the same.
    grey = {"channels": 1} if data.config.input.channels == 1 else {}
    fitted = data.config.model_copy(update={"input": predictor.input.model_copy(update=grey)})
    loaded = load_data(fitted, data.run, say=say)
    _check(predictor, loaded.kind, loaded.labels)
    parts: dict[Split, Part | None] = {
        Split.TRAIN: loaded.train, Split.VALIDATION: loaded.validation, Split.TEST: loaded.test,
    }  # fmt: skip
    chosen = split or (Split.VALIDATION if loaded.test is None else Split.TEST)
    part = parts[chosen]
    if part is None:
        raise DataInvalid(f"{data.title} keeps no samples for tests.", hint="Take --split val.")
    if chosen is Split.TRAIN:
        # Without what augmentation does to them.
        part = loaded.train.still()
    untested = "" if split is not None or loaded.test is not None else UNTESTED.format(data.title)
    return Asked(part, f"{data.title}, {chosen.value}", loaded.labels, loaded.groups, loaded.names, untested)


def ask_path(path: Path, predictor: Predictor, *, say: Say) -> Asked:
    """Every sample of a folder or list.

    Args:
        path: a folder of class folders, of idx files or with VOC annotations; or a list or table.

    Raises:
        DataError: it cannot be used, or holds a class that the model does not know.
    """
    listing = _source(path, predictor).read()
    _check(predictor, listing.kind, listing.labels)
    samples, _ = load_samples(listing, predictor.input, CacheConfig(), say=say)
    names = tuple(sample.id for sample in listing.samples)
    return Asked(samples, path.name, listing.labels, listing.groups, names)


def _source(path: Path, predictor: Predictor) -> FolderSource | IdxSource | ListSource | TableSource | VocSource:
    """What lies there, as far as it can be seen."""
    labels = predictor.labels or None
    if path.is_file():
        if predictor.kind == "class":
            return ListSource(kind="list", path=path, labels=labels)
        return TableSource(kind=predictor.kind, path=path, labels=labels)
    if not path.is_dir():
        raise DataNotFound(f"{path} does not exist.", hint="--data takes a run, a recipe, a folder or a list.")
    if (path / "Annotations").is_dir():
        return VocSource(kind="voc", path=path, labels=labels)
    if any(path.glob("*-images-idx3-ubyte*")):
        return IdxSource(kind="idx", path=path, labels=labels)
    suffixes = {file.suffix.lower() for file in path.rglob("*")}
    if not suffixes & (PICTURES | VIDEOS):
        raise DataNotFound(f"There are neither pictures nor videos in {path}.")
    return FolderSource(kind="images" if suffixes & PICTURES else "clips", path=path, labels=labels)


def _check(predictor: Predictor, kind: TargetKind, labels: tuple[str, ...]) -> None:
    if kind != predictor.kind:
        raise DataInvalid(
            f"{predictor.name} answers {KINDS[predictor.kind]}, and the data have {KINDS[kind]}.", hint=_HINT
        )
    if predictor.labels:
        check_classes(predictor.labels, labels, hint=_HINT)


KINDS: dict[TargetKind, str] = {
    "class": "one of several classes",
    "multi_label": "several labels",
    "numbers": "numbers",
}
"""What a model answers, in words."""
