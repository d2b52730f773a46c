"""`vidserve export`: a run becomes a model that the server runs."""

from __future__ import annotations

import os
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from model_export.bundle import Bundle
from model_export.manifest import Precision
from model_export.repository import Repository
from training.libraries import see_libraries

app = typer.Typer()

SHIPPED = Path(__file__).parents[2] / "server" / "models"


@app.command()
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run's folder, such as runs/mnist.")],
    data: Annotated[
        Path,
        typer.Option(
            "--data", envvar="VIDSERVE_DATA", help="The server's data folder; models lie in its folder `models`."
        ),
    ] = Path("vidserve-data"),
    to: Annotated[
        str | None, typer.Option(metavar="URL", help="Send it to a running server instead, http://HOST:PORT.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call the model; the run's name if left out.")] = None,
    window: Annotated[
        bool,
        typer.Option(
            "--window",
            help="Show it whole clips, at the cost of a clip a frame, even if it could go frame by frame with a state.",
        ),
    ] = False,
    variants: Annotated[
        str | None,
        typer.Option(
            metavar="int8,fp16",
            help="Put the same model in 8 bits, in half precision or both beside it; the settings say which serves.",
        ),
    ] = None,
    max_loss: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="POINTS",
            help="How many hundredths of the main measure a variant may lose on the validation data.",
        ),
    ] = 1.0,
    key_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Holds the key of --to; else `VIDSERVE_ADMIN_KEY` says it."),
    ] = None,
) -> None:
    """Make a model of a run, its best epoch, that the server runs.

    A net that remembers goes frame by frame, at the same cost for each; one that looks at several frames at once is
    given clips. It must answer to validation data as the net does, or nothing is written. A running server sees what
    changes in its folder, and serves the new version as soon as it is warm. For example:

    vidserve export runs/fights-gru

    vidserve export runs/fights-gru --variants int8,fp16

    vidserve export runs/fights-gru --to http://camera-box:8000 --key-file key
    """
    see_libraries()
    wanted = _precisions(variants)
    console = Console(highlight=False)
    with console.status("Reading the data …") as status:

        def exported(into: Repository, version: int | None = None) -> Bundle:
            # These import torch, which takes seconds.
            from training.export.bundling import Variants, export_run
            from training.export.table import table

            kept = Variants(wanted=wanted, most_lost=max_loss, tried=lambda rows: console.print(table(rows)))
            return export_run(
                run,
                into,
                name=name,
                version=version,
                window=window,
                variants=kept if wanted else None,
                reading=reading,
                say=lambda line: console.print(f"  {line}", markup=False),
            )

        def reading(done: int, total: int) -> None:
            status.update(f"Reading the data … {done} of {total}")
            if done == total:
                status.update("Exporting, and comparing with the net …")

        if to is None:
            bundle = exported(Repository(data / "models", shipped=SHIPPED))
            console.print(f"{bundle.manifest.id} is in {bundle.folder}", markup=False, soft_wrap=True)
            return
        from training.export.upload import Server, key_of

        with (
            closing(Server(to, key_of(key_file, os.environ))) as server,
            tempfile.TemporaryDirectory(prefix="vidserve-export-") as folder,
        ):
            bundle = exported(Repository(Path(folder)), server.next_version(name or _name_of(run)))
            status.update("Sending it …")
            sent = server.send(bundle)
        console.print(f"{sent} is at {to}", markup=False, soft_wrap=True)


def _precisions(text: str | None) -> tuple[Precision, ...]:
    """What `--variants` says."""
    names = [name.strip() for name in (text or "").split(",") if name.strip()]
    there = {precision.value: precision for precision in (Precision.INT8, Precision.FP16)}
    for name in names:
        if name not in there:
            raise typer.BadParameter(f"there is no {name!r}; there is {', '.join(there)}.", param_hint="--variants")
    return tuple(dict.fromkeys(there[name] for name in names))


def _name_of(run: Path) -> str:
    from training.run_folder import RunFolder

    return RunFolder(run).recipe().name
