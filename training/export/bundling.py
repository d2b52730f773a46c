"""A run becomes a bundle: its best weights, frame by frame where the net can go so, else with a window."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from model_export.bundle import Bundle
from model_export.compress import Compression, Score, Tried
from model_export.draft import Draft
from model_export.errors import ExportRefused
from model_export.manifest import Precision, Provenance, State, Task
from model_export.repository import Repository
from model_export.session import Session
from model_export.torch_export import export
from training.batch import Part, TargetKind
from training.checkpoints import rows_of, weights_of
from training.compose import compose
from training.data.dataset import LoadedData
from training.data.loading import load_data
from training.errors import NothingToResume, WeightsInvalid
from training.evaluation.evaluation import ask
from training.evaluation.onnx_predictor import OnnxPredictor
from training.export.steps import see_steps
from training.net import Net
from training.recipe import Recipe
from training.run_folder import RunFolder

U8 = npt.NDArray[np.uint8]

PROVED, COUNTED = 8, 2000
"""Samples of the validation part that parity is shown on, and that are counted at most."""
CALIBRATED, CALIBRATION_BYTES = 128, 1 << 28
"""Samples of the training part, at most, that show which range of numbers each step of the net has."""
_BATCH = 16
_NO_METRICS = ("epoch", "seconds", "rate")
REPORT = "report"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variants:
    """Which variants of a run are wanted; see `Compression`."""

    wanted: Sequence[Precision]
    most_lost: float = 1.0
    timed_s: float = 1.0
    tried: Callable[[Sequence[Tried]], None] = lambda rows: None


class FrameByFrame(nn.Module):
    """A net over clips as it meets a stream: a frame and the state before it, to the answer and the state after it."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = net

    def forward(self, frames: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """uint8 [B, H, W, 3] and [B, *shape] of each state → [B, L] and the next states."""
        names = [spec.name for spec in self.net.state]
        answer, after = self.net.step(frames, dict(zip(names, state, strict=True)))
        return (answer, *(after[name] for name in names))


def export_run(
    folder: Path,
    repository: Repository,
    *,
    name: str | None = None,
    version: int | None = None,
    window: bool = False,
    variants: Variants | None = None,
    reading: Callable[[int, int], None] = lambda done, total: None,
    say: Callable[[str], None] = lambda line: None,
) -> Bundle:
    """Write the next version of the model that a run is about.

    Args:
        folder: of the run; what `vidserve evaluate` found goes along.
        repository: where it is written.
        name: of the model; the run's if left out.
        version: None takes the next.
        window: let a net that could go frame by frame look at whole clips, too.
        variants: that are to be in the bundle too, if they are good enough.
        reading: is told how many samples of how many have been read.
        say: is told what was done, a line each.

    Raises:
        NothingToResume: it has no finished epoch.
        ExportRefused: it has no task in a bundle, or its graph would answer otherwise.
        TrainingError: the run or its data cannot be read.
    """
    run = RunFolder(folder)
    recipe = run.recipe()
    if not run.best.is_file():
        raise NothingToResume(
            f"{folder} has not one finished epoch.", hint="Train it to its end: vidserve train RECIPE --resume"
        )
    data = load_data(recipe.data, folder, say=reading)
    if data.kind == "numbers":
        raise ExportRefused(
            "The run learnt numbers, for which bundles have no task yet.", hint="Export nets of classes or labels."
        )
    net = _net(run, recipe, len(data.labels))
    served, said = as_served(net, recipe, data.labels, data.kind, window=window)
    draft = replace(
        said,
        name=name or recipe.name,
        metrics=_metrics(run),
        provenance=Provenance(
            tool="vidserve export",
            source=recipe.name,
            data_sha256=data.fingerprint,
            config=recipe.to_yaml(),
            seed=recipe.seed,
            versions=_versions(folder),
        ),
    )
    pictures = net.frames is None
    kind = "pictures" if pictures else "one frame at a time, with a state" if draft.state else "clips"
    say(f"The model takes {kind}.")
    samples = next(_frames(data.validation, PROVED, PROVED, pictures=pictures))
    if draft.state:
        see_steps(net, torch.from_numpy(samples))
    return export(
        served,
        draft,
        samples,
        repository,
        version=version,
        validation=_frames(data.validation, COUNTED, _BATCH, pictures=pictures),
        files=_report(folder),
        compression=None if variants is None else _compression(variants, data, draft),
        say=say,
    )


def _compression(variants: Variants, data: LoadedData, draft: Draft) -> Compression:
    """Calibrated on what the net was trained with, judged as `vidserve evaluate` does on what chose its best epoch."""

    def judge(session: Session) -> Score:
        predictor = OnnxPredictor(session, input=data.input, labels=data.labels, kind=data.kind, state=draft.state)
        answers, _, _ = ask(predictor, data.validation)
        return Score(answers.headline, answers.measures()[answers.headline])

    sample = data.input.width * data.input.height * 3 * data.input.frames
    most = max(PROVED, min(CALIBRATED, CALIBRATION_BYTES // sample))
    pictures = draft.window is None and not draft.state
    return Compression(
        wanted=variants.wanted,
        calibration=next(_frames(data.train.still(), most, most, pictures=pictures)),
        judge=judge,
        most_lost=variants.most_lost,
        timed_s=variants.timed_s,
        tried=variants.tried,
    )


def as_served(
    net: Net, recipe: Recipe, labels: tuple[str, ...], kind: TargetKind, *, window: bool = False
) -> tuple[nn.Module, Draft]:
    """A net as the server runs it, and what is said of it: frame by frame where it can go so, unless `window`."""
    by_frame = net.streams and bool(net.state) and not window
    draft = Draft(
        name=recipe.name,
        task=Task.CLASSIFY,
        input=recipe.data.input.geometry,
        labels=labels,
        logits=kind != "numbers",
        multi_label=kind == "multi_label",
        window=None if by_frame else net.frames,
        fps=recipe.data.input.fps if net.frames is not None else None,
        state=carried(net) if by_frame else (),
        family="vidserve",
    )
    return FrameByFrame(net) if by_frame else net, draft


def _net(run: RunFolder, recipe: Recipe, labels: int) -> Net:
    net = compose(recipe.net, recipe.looks_at, labels)
    try:
        net.load_state_dict(weights_of(run.best))
    except RuntimeError as error:
        raise WeightsInvalid(f"{run.best} is of another net than the recipe beside it says: {error}") from error
    return net.eval()


def carried(net: Net) -> tuple[State, ...]:
    """What a net remembers from frame to frame, as a manifest says it."""
    return tuple(
        State(input=one.name, output=f"next_{one.name}", dtype="float32", shape=one.shape, initial=one.initial)
        for one in net.state
    )


def _frames(part: Part, most: int, batch: int, *, pictures: bool) -> Iterator[U8]:
    """Batches of samples from all over a part as the server gives frames: three channels, a picture without time."""
    places = np.linspace(0, len(part) - 1, min(most, len(part))).astype(int).tolist()
    for start in range(0, len(places), batch):
        frames = part.batch(places[start : start + batch], 0).frames.numpy()
        frames = np.repeat(frames, 3, axis=-1) if frames.shape[-1] == 1 else frames
        yield frames[:, 0] if pictures else frames


def _metrics(run: RunFolder) -> dict[str, float]:
    """What the best epoch came to on the validation part."""
    row = rows_of(run.best)[-1]
    return {key: value for key, value in row.items() if key not in _NO_METRICS and math.isfinite(value)}


def _versions(folder: Path) -> dict[str, str]:
    """Those that it was trained with."""
    noted = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return {f"trained with {name}": version for name, version in noted["versions"].items()}


def _report(folder: Path) -> dict[str, bytes | Path]:
    pages = sorted(path for path in (folder / REPORT).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in pages}
