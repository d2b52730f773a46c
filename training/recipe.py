"""A recipe: all that is needed to train a model, as YAML; and what of it a command line changes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field, StringConstraints

from model_export.manifest import NAME_PATTERN
from training.border import InputConfig
from training.configuration import Config, changes_between, read
from training.data.config import DataConfig
from training.errors import ConfigInvalid
from training.optimisation import Adam, AnySchedule, Constant, Optimiser
from training.progress import Keep
from training.tasks.choice import ClassWeights

RunName = Annotated[str, StringConstraints(pattern=f"^{NAME_PATTERN}$")]
Numbers = Annotated[tuple[float, ...], Field(min_length=1)]

SEARCH = "search"
"""The key of a file that holds many recipes at once; see `training.search`."""


class NormaliseConfig(Config):
    """What the net does with grey levels first; one number, or one a channel."""

    mean: float | Numbers = Field(default=0.0, description="subtracted, in grey levels")
    std: float | Numbers = Field(default=255.0, description="then divided by, in grey levels")


class LossConfig(Config):
    """What counts as wrong, beside the task's own loss."""

    smoothing: float = Field(default=0.0, ge=0, lt=1, description="part of a label that is spread over all")
    weights: ClassWeights = Field(
        default=None, description="`balanced`, or a list with a number a label, in their order"
    )
    l1: float = Field(default=0.0, ge=0, description="λ of λ·Σ|w|, offsets and norms left out")
    l2: float = Field(default=0.0, ge=0, description="λ of λ/2·Σw², offsets and norms left out; not for `adamw`")


class TransferConfig(Config):
    """A head start: the weights of another model, wherever name and shape match."""

    weights: Path = Field(description="a run's folder or checkpoint, or a bundle's folder or model.onnx")
    freeze: int = Field(default=0, ge=0, description="epochs in which what was taken over is not trained")


class TeacherConfig(Config):
    """A model to learn from (distillation): what it says of each sample, beside what is true of it."""

    model: Path = Field(description="a run's folder or checkpoint, a bundle's folder, or an ONNX file")
    temperature: float = Field(default=4.0, gt=0, le=100, description="the higher, the more its doubts count")
    weight: float = Field(default=0.7, gt=0, le=1, description="its part of the loss; the rest is the labels'")


class FitConfig(Config):
    """How it is trained."""

    epochs: int = Field(default=10, ge=1, le=100_000)
    batch: int = Field(default=64, ge=1, le=65536, description="samples in a step, on all devices together")
    optimiser: Optimiser = Adam()
    schedule: AnySchedule = Constant()
    loss: LossConfig = LossConfig()
    clip: float | None = Field(default=None, gt=0, description="the longest gradient; longer ones are shortened to it")
    patience: int | None = Field(default=None, ge=1, description="epochs without a better measure before it stops")
    keep: Keep = Field(default="best", description="the epoch whose weights the run ends with")
    # YAML, and `fit.precision=32`, say a number.
    precision: Annotated[Literal["32", "bf16-mixed", "16-mixed"], BeforeValidator(str)] = "32"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    devices: int = Field(default=1, ge=1, le=64, description="of that kind, on this machine")


class Recipe(Config):
    """`vidserve train FILE`."""

    name: RunName = Field(description="of the run, and of the model that it becomes; if absent the file's")
    data: DataConfig
    net: str | list[Any] = Field(description="a preset's name, or a list of particles")
    normalise: NormaliseConfig = NormaliseConfig()
    fit: FitConfig = FitConfig()
    transfer: TransferConfig | None = None
    teacher: TeacherConfig | None = None
    seed: int = Field(default=0, ge=0, lt=2**63, description="of first weights, order and dropout")

    @property
    def looks_at(self) -> InputConfig:
        """What the net is given: the frames that the data are fitted to.

        Raises:
            ConfigInvalid: they are normalised by another count of numbers than they have channels.
        """
        given = self.data.input
        mean, std = ((one,) if isinstance(one, float) else one for one in (self.normalise.mean, self.normalise.std))
        whole = {
            "height": given.height,
            "width": given.width,
            "channels": given.channels,
            "frames": given.frames if given.frames > 1 else None,
            "mean": mean,
            "std": std,
        }
        return read(InputConfig, whole, where="normalise")

    def to_yaml(self) -> str:
        """As a file that is read back the same; every default is written out."""
        return str(yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True))


def read_recipe(file: Path, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        changes: `key=value` with dotted keys, such as `fit.epochs=3` or `net.0.channels=64`; values are YAML.

    Raises:
        ConfigInvalid: there is no such file, it is no YAML, or something in it is unknown, missing or out of range.
    """
    given = read_file(file, changes)
    if SEARCH in given:
        raise ConfigInvalid(f"{file} is a search, and not one recipe.", hint=f"Start it by: vidserve tune {file}")
    return read(Recipe, {"name": file.stem, **given}, where=str(file))


def read_file(file: Path, changes: Sequence[str] = ()) -> dict[str, Any]:
    """What a recipe's file says, as it stands there, with some values otherwise; see `read_recipe`.

    Raises:
        ConfigInvalid: there is no such file, it is no YAML or holds no keys, or a change cannot be made.
    """
    try:
        given = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigInvalid(f"{file} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        escape = isinstance(error, yaml.YAMLError) and "unknown escape" in str(error)
        hint = "Patterns with \\ stand in single quotes: 'cam(\\d+)'" if escape else None
        raise ConfigInvalid(f"{file} is no YAML: {error}", hint=hint) from error
    if not isinstance(given, dict):
        raise ConfigInvalid(f"{file} is no recipe: it must have keys such as `data`, `net` and `fit`.")
    for change in changes:
        _change(given, change)
    return given


def differences(before: Recipe, now: Recipe) -> list[str]:
    """`key: then → now` for every key that differs."""
    return changes_between(before.model_dump(mode="json"), now.model_dump(mode="json"))


def _change(given: dict[str, Any], change: str) -> None:
    key, equals, text = change.partition("=")
    if not equals or not key:
        raise ConfigInvalid(f"{change!r} is not key=value.", hint="For example: fit.epochs=3")
    *path, last = key.split(".")
    branch: Any = given
    for part in path:
        if isinstance(branch, list):
            at = _position(branch, part, key)
            # A bare name is a particle without options, which may get some.
            if isinstance(branch[at], str):
                branch[at] = {"particle": branch[at]}
            branch = branch[at]
        elif isinstance(branch, dict):
            if branch.get(part) is None:
                branch[part] = {}
            if part == "fuse" and isinstance(branch[part], str):
                branch[part] = {"particle": branch[part]}
            branch = branch[part]
    value = _value(text, change)
    if isinstance(branch, list):
        branch[_position(branch, last, key)] = value
    elif isinstance(branch, dict):
        branch[last] = value
    elif path[:1] == ["net"] and isinstance(given["net"], str):
        raise ConfigInvalid(
            f"{key}: `net` is the preset {given['net']!r}, whose parts have no keys.",
            hint="Write its list of particles into the recipe; presets lie in training/presets.",
        )
    else:
        raise ConfigInvalid(f"{key}: {path[-1]} has no parts that could be set.")


def _value(text: str, change: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigInvalid(f"{change!r}: what stands after = is no YAML.", hint="Quote it: key=\"'text'\"") from error


def _position(among: Sequence[Any], part: str, key: str) -> int:
    if not part.isdigit() or int(part) >= len(among):
        raise ConfigInvalid(f"{key}: {part!r} is no place in a list of {len(among)}; they are counted from 0.")
    return int(part)
