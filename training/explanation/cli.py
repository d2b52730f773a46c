"""`vidserve explain`: show where a model looks, and when its scores rise."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from training.libraries import see_libraries

app = typer.Typer()


class MethodName(StrEnum):
    """How maps are made."""

    GRAD_CAM = "grad-cam"
    OCCLUSION = "occlusion"


@app.command()
def explain(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A run's folder, a bundle's folder, or an .onnx file.")
    ],
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Pictures or videos.")],
    data: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="A run or a recipe that says how many frames, where a model does not."),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where the pictures go.")] = Path(
        "explained"
    ),
    label: Annotated[str | None, typer.Option(help="What to explain; the likeliest if left out.")] = None,
    method: Annotated[
        MethodName | None, typer.Option(help="Grad-CAM of a run's net; occlusion of what exists as ONNX only.")
    ] = None,
    start_s: Annotated[float | None, typer.Option(min=0, help="Where in a video to begin, in seconds.")] = None,
    end_s: Annotated[float | None, typer.Option(min=0, help="Where in a video to end, in seconds.")] = None,
) -> None:
    """Show where a model looks, and when its scores rise.

    Of a video it shows a strip of frames, what spoke for the label in each, and the scores in time: of as much as the
    model sees at once, from the middle if --start-s and --end-s do not say otherwise. For example:

    vidserve explain runs/fights-gru clip.mp4 --label fight
    """
    see_libraries()
    # These import torch, which takes seconds.
    from training.evaluation import asking
    from training.evaluation.opening import open_model
    from training.explanation.drawing import draw
    from training.explanation.explanation import explain as look
    from training.explanation.seeing import label_of, names_of, seen

    console = Console(highlight=False)
    wanted = None if data is None else asking.described(data)
    if data is not None and wanted is None:
        raise typer.BadParameter("is a run's folder or a recipe.", param_hint="--data")
    predictor = open_model(model, input=None if wanted is None else wanted.config.input)
    output.mkdir(parents=True, exist_ok=True)
    for file in files:
        with console.status(f"Looking at {file.name} …"):
            shown = seen(file, predictor, start_s=start_s, end_s=end_s)
            found = look(
                predictor,
                shown.frames,
                label=None if label is None else label_of(label, predictor),
                method=None if method is None else method.value,
            )
            labels = names_of(predictor, len(found.said))
            part = f", {shown.part}" if shown.part else ""
            namesake = sum(other.stem == file.stem for other in files) > 1
            picture = output / f"{f'{file.parent.name}-' if namesake else ''}{file.stem}.png"
            picture.write_bytes(draw(found, labels, f"{file.name}{part}", shown.seconds))
        said = f"{labels[found.label]} {found.said[found.label]:.3f}"
        console.print(f"{file}{part}: {said}: {picture}", markup=False, soft_wrap=True)
