"""`vidserve tune`: search for nets and settings that are both good and quick."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from training.libraries import see_libraries

if TYPE_CHECKING:
    from training.batch import DataSet
    from training.data.config import DataConfig
    from training.search.searching import Found
    from training.search.tried import Tried

app = typer.Typer()


@app.command()
def tune(
    search: Annotated[
        str, typer.Argument(metavar="SEARCH", help="A recipe with choices, or the name of one that comes along.")
    ],
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="What is to be otherwise, such as name=second or fit.batch=32."),
    ] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Trials on the whole; else the file says it.")] = None,
    timeout: Annotated[float | None, typer.Option(min=0, metavar="S", help="Seconds after which none begins.")] = None,
    studies: Annotated[Path, typer.Option(metavar="DIR", help="The folder that studies lie in.")] = Path("studies"),
) -> None:
    """Search among the recipes that a file leaves open, for a good score and a low latency.

    Latency is that of the exported net in ONNX Runtime, on this machine. Everything goes to `studies/NAME`, the best
    recipes too; stopped or killed at any moment, the same command goes on. For example:

    vidserve tune search-shapes --trials 20

    vidserve train studies/search-shapes/best-1.yaml
    """
    see_libraries()
    # These import torch, which takes seconds.
    from training.data.loading import load_data
    from training.recipes import find
    from training.search.searching import search_for
    from training.search.space import read_search
    from training.search.tried import Outcome

    asked = [*(changes or ()), *([f"search.trials={trials}"] if trials is not None else [])]
    wanted = read_search(find(search), asked)
    console = Console(highlight=False)

    def say(line: str) -> None:
        console.print(line, markup=False, soft_wrap=True)

    def hear(tried: Tried, measure: str) -> None:
        if tried.outcome is not Outcome.REPEATED:
            say(_line(tried, measure))

    with console.status("Reading the data …") as status:

        def load(config: DataConfig) -> DataSet:
            return load_data(config, say=lambda done, total: status.update(f"Reading the data … {done} of {total}"))

        try:
            found = search_for(
                wanted,
                studies / wanted.name,
                load,
                timeout_s=timeout,
                say=say,
                watch=lambda text: status.update(f"{text} …"),
                heard=hear,
            )
        except (KeyboardInterrupt, SystemExit) as stop:
            say("Stopped. What was finished is kept; the same command goes on.")
            ended = stop.code if isinstance(stop, SystemExit) and isinstance(stop.code, int) else 1
            raise typer.Exit(ended) from None
    console.print(_table(found))
    say(f"All of it is in {found.folder.path}")


def _line(tried: Tried, measure: str) -> str:
    from training.search.tried import Outcome

    parts = [f"trial {tried.number:3d}"]
    if tried.score is not None:
        parts.append(f"{measure.replace('_', ' ')} {tried.score:.4f}")
    if tried.latency_ms is not None:
        parts.append(f"{tried.latency_ms:.3g} ms")
    if tried.seconds is not None:
        parts.append(f"{tried.seconds:.1f} s")
    if tried.outcome is not Outcome.DONE:
        parts.append(f"{tried.outcome}: {tried.why}")
    return "  ".join(parts)


def _table(found: Found) -> Table:
    from training.search.results import shown

    table = Table(
        box=None,
        pad_edge=False,
        title=f"The Pareto front of {len(found.tried)} trials: no other is better in score and latency",
        title_justify="left",
    )
    for heading in ("", "trial", found.measure.replace("_", " "), "ms an answer", "parameters"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("chosen")
    for rank, one in enumerate(found.front, start=1):
        chosen = ", ".join(f"{name} {shown(value)}" for name, value in one.chosen.items())
        score, latency = f"{one.score:.4f}", f"{one.latency_ms:.3g}"
        table.add_row(str(rank), str(one.number), score, latency, f"{one.parameters:,}", chosen)
    return table
