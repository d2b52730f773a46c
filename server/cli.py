"""The command `vidserve`: what can be called, with which options. What a command does is in `server.commands`.

Packages below the server add commands by the entry point group `vidserve.commands` (name → Typer app). They, and what
our own commands need, are imported when they are called, so that `--help` is quick.
"""

from __future__ import annotations

import ast
import os
import sys
from importlib.metadata import EntryPoint, entry_points, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from model_export.errors import VidserveError
from server.core.heap import importing
from server.core.launch import keep_to_ourselves

if TYPE_CHECKING:
    from server.core.configuration import Configuration
    from server.core.settings import Settings

GROUP = "vidserve.commands"


class Commands(TyperGroup):
    """Our commands and those that joined; the latter are imported only to be run."""

    _listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted({*super().list_commands(ctx), *self._joined()})

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        own = super().get_command(ctx, cmd_name)
        joined = self._joined().get(cmd_name)
        if own is not None or joined is None:
            return own
        if self._listing:
            return TyperGroup(name=cmd_name, help=_summary(joined))
        command = typer.main.get_command(joined.load())
        command.name = cmd_name
        return command

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self._listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._listing = False

    def _joined(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=GROUP)}


def _summary(point: EntryPoint) -> str:
    """The first line of a module's documentation, read and not imported; without the "`vidserve NAME`: " before it."""
    spec = find_spec(point.module)
    if spec is None or spec.origin is None:
        return ""
    line = (ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or "").partition("\n")[0]
    text = line.removeprefix(f"`vidserve {point.name}`: ")
    return text[:1].upper() + text[1:]


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Video in, what it shows out: a server for real-time video analytics.\n\n"
    "Try it: `vidserve analyze VIDEO`. Run it: `vidserve serve`. Something wrong? `vidserve doctor`.",
)
config_app = typer.Typer(no_args_is_help=True, help="Look at the settings.")
app.add_typer(config_app, name="config")

DataOption = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="The data folder: database, uploads, results, `models/`.")
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="The settings file; else `vidserve.toml` here, else in the data folder."
    ),
]
HostOption = Annotated[str | None, typer.Option(help="The address to listen at; 127.0.0.1 if left out.")]
PortOption = Annotated[int | None, typer.Option(help="The port to listen at; 8000 if left out, 0 takes a free one.")]
KeyFileOption = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        "--admin-key-file",
        metavar="FILE",
        help="Holds the server's key; else `VIDSERVE_ADMIN_KEY` says it.",
    ),
]

_LOAD = "Options of --server"


def _configuration(config: Path | None = None, **flags: Any) -> Configuration[Settings]:
    from server.core.configuration import load
    from server.core.settings import Settings

    return load(Settings, flags=flags, environ=os.environ, config=config)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vidserve {version('vidserve')}")
        raise typer.Exit


@app.callback()
def vidserve(
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    pass


@app.command()
def serve(
    host: HostOption = None,
    port: PortOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    key_file: KeyFileOption = None,
) -> None:
    """Run the server until Ctrl-C.

    POST a video to `/v1/jobs`; `/docs` describes every call. Beyond this machine callers need a key, which is made
    where none is set.
    """
    with importing():
        from server.commands.serve import run

    def read() -> Settings:
        return _configuration(config, host=host, port=port, data=data, admin_key_file=key_file).settings

    run(read(), read)


@app.command()
def analyze(
    videos: Annotated[
        list[str],
        typer.Argument(
            metavar="VIDEO...",
            help="Files, folders (their videos), globs such as 'cam/*.mp4', URLs; or a camera: rtsp://…, /dev/video0.",
        ),
    ],
    model: Annotated[
        str | None, typer.Option(help="`name` or `name@version`; the default model if left out.", metavar="NAME")
    ] = None,
    confidence: Annotated[
        float | None, typer.Option(min=0, max=1, help="What counts as found; the model's own threshold if left out.")
    ] = None,
    labels: Annotated[str | None, typer.Option(help="Only these, between commas: car,truck.", metavar="A,B")] = None,
    sample_fps: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            max=1000,
            help="Frames analysed per second. If left out, every one of a video and 5 of a camera; 1000 is every one.",
        ),
    ] = None,
    track: Annotated[
        bool | None, typer.Option("--track/--no-track", help="Give objects an id that lasts.", show_default=False)
    ] = None,
    gate: Annotated[
        str | None,
        typer.Option(metavar="motion", help="Ask the model only when and where something moves (fixed cameras)."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE|DIR",
            help="Write a row a frame: a file for one video, a folder for several, `-` for standard output.",
        ),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--format", metavar="ndjson|csv|coco|mot", help="Of the output; else by the file's ending."),
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="The URL is a live source (MJPEG, HLS) and not a video to fetch.")
    ] = False,
    username: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="That the camera asks for; `VIDSERVE_CAMERA_PASSWORD` says the password, or you type it.",
        ),
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Analyse videos without a server; or a live source, whose rows are written as they are made until Ctrl-C.

    The exit status is 1 if any of them failed.
    """
    with importing():
        from server.commands.analyze import Wish, run

    wish = Wish.of(model, confidence, labels, sample_fps, track, gate, output, form)
    raise typer.Exit(run(videos, wish, _configuration(config, data=data).settings, live=live, username=username))


@app.command()
def bench(
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="`name` or `name@version`; of a server its default if absent."),
    ] = None,
    save: Annotated[
        bool | None,
        typer.Option(
            "--save/--no-save",
            help="Keep what was found; if left out it is kept unless other processes used the machine meanwhile.",
            show_default=False,
        ),
    ] = None,
    report: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the figures here too.")] = None,
    server: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Measure a running server: http://HOST:PORT.", rich_help_panel=_LOAD),
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Holds the server's key; else `VIDSERVE_ADMIN_KEY` says it.", rich_help_panel=_LOAD
        ),
    ] = None,
    rates: Annotated[
        str | None,
        typer.Option(
            "--rate", metavar="A,B", help="Pictures a second; 5, 10, 20 … until it is too much.", rich_help_panel=_LOAD
        ),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="To be sent; one of the sample video.", rich_help_panel=_LOAD)
    ] = None,
    latency_ms: Annotated[
        float, typer.Option(min=1, help="What p95 of the latency may be.", rich_help_panel=_LOAD)
    ] = 500,
    cameras: Annotated[
        list[str] | None,
        typer.Option(
            "--camera", metavar="URL", help="Add streams of this camera, or these in turn.", rich_help_panel=_LOAD
        ),
    ] = None,
    fps: Annotated[
        float,
        typer.Option(min=0, max=1000, help="Frames a second of each stream; 0: every one.", rich_help_panel=_LOAD),
    ] = 5,
    age_ms: Annotated[
        float, typer.Option(min=1, help="What p95 of the age of results may be.", rich_help_panel=_LOAD)
    ] = 500,
    streams: Annotated[int, typer.Option(min=1, max=256, help="The most to try.", rich_help_panel=_LOAD)] = 64,
    seconds: Annotated[
        float, typer.Option(min=1, max=3600, help="How long each rate is kept up.", rich_help_panel=_LOAD)
    ] = 10,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Measure how a model runs fastest on this machine, or what a running server can take.

    `vidserve bench MODEL` takes the whole machine for a quarter of a minute, needs no server, and tells none: what it
    finds holds from the model's next load on.

    `vidserve bench --server URL` sends pictures at a fixed rate, whatever becomes of those before, and doubles it until
    they come back too late; with `--camera`, it then adds streams until their results are too old or frames are lost,
    and removes them.
    """
    if server is None:
        if model is None:
            raise typer.BadParameter("Name a model, or a server with --server.", param_hint="MODEL")
        from server.commands.bench import run

        run(model, _configuration(config, data=data).settings, save=save, report=report)
        return
    from server.commands.client import key_of
    from server.commands.crowd import Terms
    from server.commands.strain import Strain, rates_of
    from server.commands.strain import run as strain

    terms = Terms(fps=fps or None, age_s=age_ms / 1e3, kept=0.99, seconds=seconds, most=streams)
    wish = Strain(
        model=model,
        rates=rates_of(rates),
        picture=picture,
        latency_s=latency_ms / 1e3,
        cameras=cameras or (),
        streams=terms,
        seconds=seconds,
    )
    strain(server, key_of(key_file, os.environ), wish, report=report)


@config_app.command()
def check(
    host: HostOption = None, port: PortOption = None, data: DataOption = None, config: ConfigOption = None
) -> None:
    """Print every setting as it is in effect, and where it came from."""
    from server.commands.config import show

    show(_configuration(config, host=host, port=port, data=data))


@app.command()
def doctor(
    host: HostOption = None, port: PortOption = None, data: DataOption = None, config: ConfigOption = None
) -> None:
    """Say what this machine can do, what is missing, and what to do about it.

    The exit status is 1 if the server cannot run here.
    """
    from server.commands.doctor import run

    raise typer.Exit(run(_configuration(config, host=host, port=port, data=data).settings))


@app.command(hidden=True)
def demo(
    once: Annotated[bool, typer.Option("--once", help="End by itself after the sample video.")] = False,
    port: Annotated[int, typer.Option(help="The first port to try.")] = 8000,
    data: Annotated[Path, typer.Option(help="The demo's data folder.")] = Path("demo-data"),
) -> None:
    """Start the server, send it the sample video, show what it found, say what to try next."""
    with importing():
        from server.commands.demo import run

    raise typer.Exit(run(first_port=port, data=data, once=once))


def main() -> None:
    """Run a command; what a user can be told about is one message and not a trace."""
    keep_to_ourselves()
    try:
        app()
    except VidserveError as error:
        from server.commands.complaint import complain

        complain(error)
        sys.exit(1)


if __name__ == "__main__":
    main()
