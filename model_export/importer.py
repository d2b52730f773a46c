"""A third-party ONNX file becomes a bundle in a repository, whole or not at all."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from model_export import golden
from model_export.bundle import GOLDEN, MODEL, Bundle, sha256_of
from model_export.conversion import Say, convert
from model_export.errors import ImportRefused, ModelExists
from model_export.families import FAMILIES
from model_export.families.family import Family
from model_export.families.raw import take_untouched
from model_export.manifest import Manifest, Provenance, Suppression, Task, Thresholds, parse_reference
from model_export.options import Wishes
from model_export.repository import Repository

_TOOL = "vidserve models import"


def import_model(
    file: Path,
    *,
    family: str,
    name: str,
    repository: Repository,
    labels: Sequence[str] = (),
    wishes: Wishes | None = None,
    version: int | None = None,
    say: Say = lambda line: None,
) -> Bundle:
    """Bring a model in.

    Args:
        file: the ONNX file.
        family: one of `FAMILIES`.
        name: what the model is to be called.
        repository: it is added to.
        labels: of its classes, in their order; where there are none, the file's own or the family's are taken.
        wishes: what is not as the family has it.
        version: None takes the next.
        say: is told what was done, a line each.

    Raises:
        ImportRefused: it cannot be read, loaded, converted or understood, or its answers would change; says what
            differs and by how much.
        ManifestInvalid: `name` is no name for a model.
        TaskDiffers: the name is another task's.
        ModelExists: that version is there already.
    """
    if family not in FAMILIES:
        raise ImportRefused(f"There is no family {family!r}.", hint=f"There is {', '.join(FAMILIES)}.")
    parse_reference(name)
    if version is not None and repository.folder(name, version).exists():
        raise ModelExists(f"{name}@{version} is there already.", hint="Leave --version out, or remove that one first.")
    repository.check_task(name, Task.TENSOR if family == "raw" else _family(family).task)
    if not file.is_file():
        raise ImportRefused(f"There is no file {file}.")
    wishes = wishes or Wishes()
    number = version or repository.next_version(name)
    provenance = Provenance(tool=_TOOL, source=file.name, source_sha256=sha256_of(file))
    if family == "raw":
        manifest, files = _untouched(file, name, number, labels, wishes, provenance, say)
    else:
        manifest, files = _converted(file, family, name, number, labels, wishes, provenance, say)
    return Bundle.write(repository.folder(name, number), manifest, files)


def _converted(
    file: Path,
    family: str,
    name: str,
    version: int,
    labels: Sequence[str],
    wishes: Wishes,
    provenance: Provenance,
    say: Say,
) -> tuple[Manifest, dict[str, bytes | Path]]:
    done = convert(file, _family(family), wishes, say, labels)
    reading = done.reading
    manifest = Manifest(
        name=name,
        version=version,
        task=done.task,
        kind="frame" if done.window is None else "clip",
        window=done.window,
        fps=wishes.fps,
        family=family,
        input=done.spec,
        inputs=done.inputs,
        outputs=done.outputs,
        labels=done.labels,
        multi_label=wishes.multi_label,
        suppression=_suppression(reading.suppression, wishes.iou),
        thresholds=Thresholds(confidence=reading.confidence if wishes.confidence is None else wishes.confidence),
        batch=done.batch,
        precision=done.precision,
        provenance=provenance,
    )
    return manifest, {MODEL: done.model, GOLDEN: golden.encode(*done.samples)}


def _family(name: str) -> Family:
    return cast(Family, importlib.import_module(f"model_export.families.{name.replace('-', '_')}").FAMILY)


def _suppression(due: Suppression | None, iou: float | None) -> Suppression | None:
    if iou is None:
        return due
    if due is None:
        raise ImportRefused("There is nothing to suppress in what this model answers.", hint="Leave --iou out.")
    return due.model_copy(update={"iou": iou})


def _untouched(
    file: Path, name: str, version: int, labels: Sequence[str], wishes: Wishes, provenance: Provenance, say: Say
) -> tuple[Manifest, dict[str, bytes | Path]]:
    if wishes != Wishes():
        raise ImportRefused(
            "Family raw leaves the graph as it is, so nothing can be said about its input and answers.",
            hint="Leave out every option but --name, --labels and --version.",
        )
    found = take_untouched(file)
    files: dict[str, bytes | Path] = dict(found.files)
    if found.samples is None:
        say("It runs on none of the made-up inputs, so the bundle holds no golden samples.")
    else:
        files[GOLDEN] = golden.encode(*found.samples)
    say("The graph stays as it is; its tensors are served as they are.")
    manifest = Manifest(
        name=name,
        version=version,
        task=Task.TENSOR,
        family="raw",
        inputs=found.inputs,
        outputs=found.outputs,
        labels=tuple(labels),
        batch=found.batch,
        precision=found.precision,
        provenance=provenance,
    )
    return manifest, files
