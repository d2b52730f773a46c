"""`vidserve evaluate`: measure how good a model is, as a page with pictures and as JSON."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from training.data.listing import Split
from training.libraries import see_libraries

if TYPE_CHECKING:
    from training.evaluation.evaluation import Evaluation

app = typer.Typer()

PAGE, NUMBERS = "index.html", "evaluation.json"


@app.command()
def evaluate(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A run's folder, a bundle's folder, or an .onnx file.")
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="A run or a recipe, a folder of class folders, or a list. Of a run, its own if left out.",
        ),
    ] = None,
    split: Annotated[
        Split | None, typer.Option(help="Of a run's or recipe's data; test, if there is one, else val.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Where the report goes; else RUN/report, or report-MODEL-on-DATA."
        ),
    ] = None,
    conditions: Annotated[bool, typer.Option(help="Try noise, blur, darkness, JPEG, dropped frames and FGSM.")] = True,
    latency: Annotated[bool, typer.Option(help="Measure how long an answer takes.")] = True,
) -> None:
    """Measure how good a model is.

    A net and the ONNX model that it became are measured by the same code, so their numbers can be compared. For
    example:

    vidserve evaluate runs/mnist

    vidserve evaluate vidserve-data/models/mnist/1 --data runs/mnist
    """
    see_libraries()
    # These import torch, which takes seconds.
    from training.evaluation import asking
    from training.evaluation.evaluation import evaluate as measure
    from training.evaluation.opening import open_model
    from training.evaluation.report import as_html, as_json

    console = Console(highlight=False)
    with console.status("Opening the model …") as status:
        wanted = asking.described(data or model)
        predictor = open_model(model, input=None if wanted is None else wanted.config.input)
        status.update("Reading the data …")

        def reading(done: int, total: int) -> None:
            status.update(f"Reading the data … {done} of {total}")

        if wanted is not None:
            asked = asking.ask_described(wanted, predictor, split, say=reading)
        elif data is None:
            raise typer.BadParameter("is needed for a model that is no run.", param_hint="--data")
        elif split is not None:
            raise typer.BadParameter("goes with the data of a run or recipe.", param_hint="--split")
        else:
            asked = asking.ask_path(data, predictor, say=reading)
        found = measure(
            predictor,
            asked.part,
            data=asked.title,
            labels=asked.labels,
            groups=asked.groups,
            names=asked.names,
            conditions=conditions,
            latency=latency,
            say=lambda text: status.update(f"Asking … {text}"),
        )
        status.update("Writing the report …")
        folder = output or (model / "report" if model == (data or model) else _folder(predictor.name, asked.title))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / NUMBERS).write_text(as_json(found), encoding="utf-8")
        (folder / PAGE).write_text(as_html(found), encoding="utf-8")
    console.print(_table(found))
    if asked.caution:
        console.print(asked.caution, markup=False, soft_wrap=True)
    if found.groups < 2:
        console.print("There is one group only, so there are no intervals: they come of drawing groups.")
    console.print(f"The report is {folder / PAGE}", markup=False, soft_wrap=True)


def _folder(model: str, data: str) -> Path:
    """A name for a report that one on other data does not take."""
    return Path("report-" + re.sub(r"[^\w.@-]+", "-", f"{model}-on-{data}").strip("-"))


def _table(found: Evaluation) -> Table:
    from training.evaluation.report import NAMES, shown

    table = Table(box=None, pad_edge=False, title=f"{found.model} on {found.data}", title_justify="left")
    for heading in ("measure", "value", "95 % interval"):
        table.add_column(heading, justify="left" if heading == "measure" else "right")
    for name, value in found.answers.measures().items():
        low, high = found.intervals[name]
        table.add_row(NAMES[name], shown(value), f"{shown(low)} … {shown(high)}" if low == low else "–")
    return table
