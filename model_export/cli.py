"""`vidserve models`: bring models in, look at them, choose which serve."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from model_export.command_options import read, takes
from model_export.entries import Entry
from model_export.errors import ModelError, VidserveError
from model_export.manifest import Manifest, parse_reference
from model_export.options import ImportOptions, name_of, read_labels
from model_export.printing import report_console
from model_export.repository import Repository

SHIPPED = Path(__file__).parent.parent / "server" / "models"

app = typer.Typer(
    name="models",
    no_args_is_help=True,
    help="Bring models in, look at them, choose which serve. A running server sees what changes.",
)

DataFolder = Annotated[
    Path,
    typer.Option("--data", envvar="VIDSERVE_DATA", help="The server's data folder; models lie in its folder `models`."),
]
_DATA = Path("vidserve-data")


@app.command("list")
def list_models(data: DataFolder = _DATA) -> None:
    """List every version of every model, and which serve.

    What cannot be served is listed with the reason.
    """
    with _errors_told():
        repository = _repository(data)
        entries, default = repository.entries(), repository.default_model()
    if not entries:
        report_console().print(
            f"No models in {repository.root}. Bring one in: vidserve models import --help", markup=False
        )
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("model", no_wrap=True, overflow="ignore")
    for heading in ("serves", "task", "family", "input", "batch", "MB", "from"):
        table.add_column(heading)
    for entry in entries:
        serves = "" if not entry.serves else "default" if entry.name == default else "yes"
        table.add_row(f"{entry.name}@{entry.version}", serves, *_facts(entry))
    report_console().print(table)


@app.command("import")
@takes(ImportOptions, but={"labels"})
def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE.onnx", help="The model, as its trainer exported it.")],
    labels: Annotated[Path | None, typer.Option(metavar="FILE", help="Labels of its classes, one a line.")] = None,
    data: DataFolder = _DATA,
    **said: Any,
) -> None:
    """Bring an ONNX model in.

    It is converted to take uint8 frames and to answer in standard outputs, then asked side by side with the file as it
    came: if an answer differs, it is refused. What is left out is as the family has it. For example:

    vidserve models import yolox_nano.onnx --family yolox --labels coco.names
    """
    console = report_console()
    with _errors_told():
        options = read(ImportOptions, {**said, "labels": read_labels(labels) if labels else ()})
        with console.status("Reading the model …") as status:
            # onnx takes a second to import; only this command pays for it.
            from model_export.importer import import_model

            status.update("Converting, and comparing with the file as it came …")
            bundle = import_model(
                file,
                family=options.family,
                name=options.name or name_of(file.name),
                repository=_repository(data),
                labels=options.labels,
                wishes=options.wishes,
                version=options.version,
                say=lambda line: console.print(f"  {line}", markup=False, highlight=False),
            )
    console.print(f"{bundle.manifest.id} is in {bundle.folder}", markup=False, highlight=False, soft_wrap=True)
    if bundle.manifest.input is not None:
        there = "" if data == Path(_DATA) else f" --data {data}"
        for what, command in (
            ("Try it", f"vidserve analyze VIDEO --model {bundle.manifest.name}{there}"),
            ("Let it serve where no model is named", f"vidserve models default {bundle.manifest.name}{there}"),
        ):
            console.print(f"{what}: {command}", markup=False, highlight=False, soft_wrap=True)


@app.command()
def check(
    models: Annotated[list[str] | None, typer.Argument(metavar="[NAME[@VERSION]]...", help="All if left out.")] = None,
    data: DataFolder = _DATA,
) -> None:
    """Try models as the server would: files against their hashes, the graph in ONNX Runtime, golden samples, batches.

    Exits with 1 if one fails.
    """
    with _errors_told():
        repository = _repository(data)
        references = models or [f"{entry.name}@{entry.version}" for entry in repository.entries()]
        if not references:
            raise ModelError("There are no models to check.", hint="Bring one in: vidserve models import --help.")
    from model_export.check import check_bundle

    console, failed = report_console(), 0
    for reference in references:
        try:
            bundle = repository.resolve(reference)
            lines = check_bundle(bundle)
        except VidserveError as error:
            failed += 1
            _tell(error, reference)
            continue
        console.print(f"{bundle.manifest.id}: {'; '.join(lines)}", markup=False, highlight=False, soft_wrap=True)
    if failed:
        raise typer.Exit(1)


@app.command()
def default(
    model: Annotated[
        str | None, typer.Argument(metavar="[NAME[@VERSION]]", help="Shows what is set if left out.")
    ] = None,
    highest: Annotated[bool, typer.Option("--highest", help="Let the highest version of NAME serve again.")] = False,
    data: DataFolder = _DATA,
) -> None:
    """Choose what serves.

    NAME makes this the model for requests that name none. NAME@VERSION makes this the version that NAME stands for;
    setting an older one is the way back from a bad one.
    """
    console = report_console()
    with _errors_told():
        repository = _repository(data)
        if model is None:
            bundle = repository.default()
            console.print(f"{bundle.manifest.id} serves where a request names no model.", markup=False, highlight=False)
            return
        name, version = parse_reference(model)
        if highest and version is not None:
            raise typer.BadParameter("goes with a name, not with a version.", param_hint="--highest")
        if version is None and not highest:
            repository.set_default_model(name)
            said = f"{repository.resolve(name).manifest.id} serves where a request names no model."
        else:
            repository.set_default(name, version)
            said = f"{name} is now {repository.resolve(name).manifest.id}."
    console.print(said, markup=False, highlight=False)


@app.command()
def remove(
    model: Annotated[str, typer.Argument(metavar="NAME[@VERSION]", help="Every version if none is said.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    data: DataFolder = _DATA,
) -> None:
    """Remove a version of a model, or all of them."""
    with _errors_told():
        repository = _repository(data)
        name, version = parse_reference(model)
        if not yes and not typer.confirm(f"Remove {model} from {repository.root}?"):
            raise typer.Exit(1)
        gone = repository.remove(name, version)
    report_console().print(
        f"Removed {', '.join(f'{name}@{number}' for number in gone)}.", markup=False, highlight=False
    )


def _repository(data: Path) -> Repository:
    return Repository(data / "models", shipped=SHIPPED)


@contextmanager
def _errors_told() -> Iterator[None]:
    try:
        yield
    except VidserveError as error:
        _tell(error)
        raise typer.Exit(1) from error


def _tell(error: VidserveError, about: str = "") -> None:
    console = Console(stderr=True, highlight=False)
    console.print(f"[bold red]error:[/] {escape(f'{about}: ' if about else '')}{escape(error.message)}", soft_wrap=True)
    if error.hint:
        console.print(error.hint, markup=False, soft_wrap=True)


def _facts(entry: Entry) -> tuple[str, ...]:
    origin = "server" if entry.shipped else "you"
    if entry.bundle is None:
        return f"[red]cannot be served:[/] {escape(entry.problem)}", "", "", "", "", origin
    manifest = entry.bundle.manifest
    size = sum((entry.folder / name).stat().st_size for name in manifest.files)
    batch = "free" if manifest.batch.fixed is None else str(manifest.batch.fixed)
    return manifest.task.value, manifest.family, _input(manifest), batch, f"{size / 1e6:.1f}", origin


def _input(manifest: Manifest) -> str:
    return f"{manifest.input.width}x{manifest.input.height}" if manifest.input else "as it came"
