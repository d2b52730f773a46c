"""`vidserve train`: train a model as a recipe says."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from training.libraries import see_libraries

if TYPE_CHECKING:
    from training.batch import DataSet
    from training.recipe import Recipe

app = typer.Typer()


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A YAML file, or the name of one that comes along.")],
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="What is to be otherwise, such as fit.epochs=3 or name=second."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last finished epoch.")] = False,
    describe: Annotated[
        bool, typer.Option("--describe", help="Show what the net is made of, and train nothing.")
    ] = False,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the recipe with every default, and train nothing.")
    ] = False,
    runs: Annotated[Path, typer.Option(metavar="DIR", help="The folder that runs lie in.")] = Path("runs"),
) -> None:
    """Train a model as a recipe says.

    Everything about it goes to `runs/NAME`; stopped or killed at any moment, it goes on with `--resume`. For example:

    vidserve train mnist data.source.path=FOLDER fit.epochs=3
    """
    see_libraries()
    # These import torch, which takes seconds.
    from training.recipe import read_recipe
    from training.recipes import find

    wanted = read_recipe(find(recipe), changes or ())
    if print_config:
        typer.echo(wanted.to_yaml(), nl=False)
    elif describe:
        _describe(wanted)
    else:
        _train(wanted, runs / wanted.name, resume=resume)


def _describe(recipe: Recipe) -> None:
    from training.compose import compose
    from training.describe import kind, table

    labels = recipe.data.source.read().labels
    net = compose(recipe.net, recipe.looks_at, len(labels))
    # A file or a pipe has no width; a terminal has its own.
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table(net))
    console.print(kind(net), highlight=False)


def _train(recipe: Recipe, folder: Path, *, resume: bool) -> None:
    from training.data.loading import DataDescription, load_data
    from training.data.summary import summary
    from training.fit import first_process, fit

    console = Console(highlight=False)

    if recipe.data.source.kind == "numbers":
        console.print(
            "Numbers can be trained and evaluated, but not exported: bundles have no task for them yet. They are learnt"
            " as they stand, not scaled.",
            soft_wrap=True,
        )

    def say(line: str) -> None:
        console.print(line, markup=False, soft_wrap=True)

    def load(recipe: Recipe, folder: Path) -> DataSet:
        with console.status("Reading the data …") as status:
            data = load_data(
                recipe.data, folder, say=lambda done, total: status.update(f"Reading the data … {done} of {total}")
            )
        if first_process():
            say(summary(DataDescription.read(folder)))
        return data

    outcome = fit(
        recipe,
        folder,
        load,
        resume=resume,
        bar=console.is_terminal,
        say=say,
    )
    row = outcome.kept
    told = ", ".join(f"{key} {value:.4f}" for key, value in row.items() if key not in ("epoch", "seconds", "rate"))
    which = "Best" if recipe.fit.keep == "best" else "The last"
    say(f"{which} was epoch {row['epoch']:.0f}: {told}.")
    say(f"All of it is in {outcome.folder.path}")
