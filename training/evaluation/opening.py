"""A model from where it lies: a run's folder, a bundle, or an ONNX file."""

from __future__ import annotations

import re
from pathlib import Path

from model_export.bundle import MANIFEST
from training.batch import TargetKind
from training.checkpoints import weights_of
from training.compose import compose
from training.data.frame_spec import FrameSpec
from training.data.loading import DataDescription
from training.errors import ModelUnsuitable, NothingToResume, WeightsInvalid
from training.evaluation.onnx_predictor import OnnxPredictor, from_bundle, from_file
from training.evaluation.torch_predictor import TorchPredictor
from training.run_folder import RECIPE, RunFolder

CHECKPOINT = ".ckpt"
_GRAPH = re.compile(r"model(\.(?P<variant>[a-z0-9]+))?\.onnx")
"""A bundle's own graph, and those of its variants."""

AnyPredictor = TorchPredictor | OnnxPredictor


def open_model(
    path: Path, *, input: FrameSpec | None = None, labels: tuple[str, ...] = (), kind: TargetKind = "class"
) -> AnyPredictor:
    """The model at a path.

    Args:
        input: how the data are fitted. A run and a bundle know that themselves, but a bundle with a state takes from it
            how many frames make a clip, if it is given, and a file without a manifest everything.
        labels, kind: of the data; for a file without a manifest.

    Raises:
        ModelUnsuitable: there is no model that could be asked.
        ModelError: a bundle or graph that cannot be read.
        RunError: a run without a finished epoch.
    """
    if (path / RECIPE).is_file():
        return open_run(path)
    if path.suffix == CHECKPOINT and (path.parent / RECIPE).is_file():
        return open_run(path.parent, weights=path)
    if (path / MANIFEST).is_file():
        return _of_bundle(path, input)
    if path.is_file() and path.suffix == ".onnx":
        graph = _GRAPH.fullmatch(path.name)
        if graph is not None and (path.parent / MANIFEST).is_file():
            return _of_bundle(path.parent, input, variant=graph["variant"])
        return from_file(path, input=input, labels=labels, kind=kind)
    raise ModelUnsuitable(
        f"{path} is no model.",
        hint="Name a run's folder (runs/NAME) or checkpoint, a bundle's folder (…/NAME/VERSION), or an .onnx file.",
    )


def _of_bundle(folder: Path, input: FrameSpec | None, *, variant: str | None = None) -> OnnxPredictor:
    if input is None:
        return from_bundle(folder, variant=variant)
    return from_bundle(folder, variant=variant, frames=input.frames, fps=input.fps)


def open_run(path: Path, *, weights: Path | None = None) -> TorchPredictor:
    """The net of a run.

    Args:
        weights: a checkpoint of it; None: that of its best epoch.

    Raises:
        NothingToResume: it has no finished epoch, or not that checkpoint.
        WeightsInvalid: the checkpoint is damaged, or of another net.
        DataInvalid: it is not known what was trained.
    """
    run = RunFolder(path)
    recipe, described = run.recipe(), DataDescription.read(path)
    checkpoint = weights or run.best
    if not checkpoint.is_file():
        raise NothingToResume(
            f"{path} has not one finished epoch.", hint="Train it to its end: vidserve train RECIPE --resume"
        )
    net = compose(recipe.net, recipe.looks_at, len(described.labels))
    try:
        net.load_state_dict(weights_of(checkpoint))
    except RuntimeError as error:
        raise WeightsInvalid(f"{checkpoint} is of another net than {path / RECIPE} says: {error}") from error
    return TorchPredictor(
        net,
        name=recipe.name,
        labels=described.labels,
        kind=described.kind,
        input=described.input,
        streams=net.streams and net.frames is not None,
    )
