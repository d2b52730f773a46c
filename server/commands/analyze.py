"""`vidserve analyze`: the server's own way of a frame, without a server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from getpass import getpass
from pathlib import Path
from typing import Self

from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from model_export.errors import VidserveError
from model_export.printing import report_console
from server.api.conversion import Format, convert
from server.commands.complaint import complain
from server.commands.found import found_table
from server.commands.live import FORMS, LiveRun, Login, is_live
from server.commands.videos import Given, find_videos
from server.core.log import LogConfig, configure
from server.core.settings import LogSettings, Settings
from server.domain.analysis import Analysis
from server.domain.job import Job, JobState
from server.runtime import Runtime

_POLL_S = 0.2
_INTERRUPTED = 130
_STDOUT = Path("-")
_SUFFIXES = {
    ".ndjson": Format.NDJSON,
    ".jsonl": Format.NDJSON,
    ".csv": Format.CSV,
    ".json": Format.COCO,
    ".txt": Format.MOT,
}


class WishUnclear(VidserveError):
    """Options that cannot be meant together."""

    code = "options_invalid"


@dataclass(frozen=True)
class Wish:
    """What to do with each video, and where its rows go.

    Attributes:
        output: a file, a folder, `-`, or None: nowhere.
    """

    analysis: Analysis
    output: Path | None
    form: Format

    @classmethod
    def of(
        cls,
        model: str | None,
        confidence: float | None,
        labels: str | None,
        sample_fps: float | None,
        track: bool | None,
        gate: str | None,
        output: Path | None,
        form: str | None,
    ) -> Self:
        """From the options of the command line.

        Raises:
            WishUnclear: a model's name or a format that cannot be.
        """
        named = tuple(label.strip() for label in labels.split(",") if label.strip()) if labels else None
        said = {
            "model": model,
            "confidence": confidence,
            "labels": named,
            "sample_fps": sample_fps,
            "track": track,
            "gate": gate,
        }
        try:
            # What is not said may mean something else for a live source than for a file.
            analysis = Analysis.model_validate({key: value for key, value in said.items() if value is not None})
        except ValidationError as error:
            raise _unclear(error) from error
        if form is not None and form not in tuple(Format):
            raise WishUnclear(f"There is no format {form!r}.", hint=f"Choose one of {', '.join(Format)}.")
        suffix = output.suffix.lower() if output is not None and output != _STDOUT else ""
        by_suffix = _SUFFIXES.get(suffix)
        if form is None and suffix and by_suffix is None and not (output and output.is_dir()):
            raise WishUnclear(
                f"{output}: the ending {suffix} names no format.",
                hint=f"End it with {', '.join(_SUFFIXES)}, or name one with --format.",
            )
        if form is not None and output is None:
            raise WishUnclear("--format is of the output, and there is none.", hint="Add -o FILE, or -o - to see it.")
        if track is False and (form or by_suffix) == Format.MOT:
            raise WishUnclear("mot is about tracks.", hint="Leave --no-track out, or choose another format.")
        return cls(analysis, output, Format(form) if form else by_suffix or Format.NDJSON)

    def target(self, name: str, *, alone: bool) -> Path | None:
        """Where the rows of a video go."""
        if self.output is None or self.output == _STDOUT:
            return self.output
        if alone and not self.output.is_dir():
            return self.output
        return self.output / f"{name}.{self.form.suffix}"


def _unclear(error: ValidationError) -> WishUnclear:
    problem = error.errors(include_input=False)[0]
    return WishUnclear(f"{problem['loc'][0]}: {problem['msg']}.", hint="See vidserve analyze --help.")


def run(
    words: Sequence[str], wish: Wish, settings: Settings, *, live: bool = False, username: str | None = None
) -> int:
    """Analyse videos, or one live source; the exit status.

    Args:
        live: what is named is a live source, also where it looks like a video.
        username: that the live source asks for; the password is asked for.

    Raises:
        NoVideo: a word means no video.
        WishUnclear: several videos for one file, or several live sources.
        VidserveError: the model or the source is not there, or nothing can be started.
    """
    if live or any(map(is_live, words)):
        return _run_live(words, wish, settings, username)
    if username is not None:
        raise WishUnclear("--username is of a camera.", hint="Add --live if the URL is one, else leave it out.")
    videos = find_videos(words)
    _check_output(wish, videos)
    with _own(settings, wish) as own:
        return asyncio.run(_Run(videos, wish, own, settings.data / "models").go())


def _run_live(words: Sequence[str], wish: Wish, settings: Settings, username: str | None) -> int:
    if len(words) > 1:
        raise WishUnclear("A live source never ends, so it is analysed alone.", hint="Name one, or start a server.")
    if wish.form not in FORMS:
        raise WishUnclear(f"{wish.form} has an end, and a live source has none.", hint=f"Choose {', '.join(FORMS)}.")
    if wish.output is not None and wish.output.is_dir():
        raise WishUnclear(f"{wish.output} is a folder.", hint="Name a file.")
    output = None if wish.output == _STDOUT else wish.output
    login = None if username is None else Login.of(username, os.environ, getpass)
    try:
        live = LiveRun(words[0], wish.analysis, output, wish.form, login)
    except ValidationError as error:
        raise _unclear(error) from None
    with _own(settings, wish) as own:
        return asyncio.run(live.go(own, settings.data / "models"))


@contextlib.contextmanager
def _own(settings: Settings, wish: Wish) -> Iterator[Settings]:
    """The settings of a run that has nothing to do with the server's, but uses its models."""
    log = LogSettings(level="error", format=settings.log.format)
    configure(LogConfig.of(log))
    # A folder of its own: a server may be running on the one of the settings.
    with tempfile.TemporaryDirectory(prefix="vidserve-analyze-") as data:
        yield settings.model_copy(
            update={
                "data": Path(data),
                "log": log,
                "streams": {},
                "jobs": settings.jobs.model_copy(update={"allow_private_urls": True}),
                "sources": settings.sources.model_copy(update={"allow_loopback": True}),
                "engine": settings.engine.model_copy(
                    update={"models": (wish.analysis.model,) if wish.analysis.model else (), "tune": False}
                ),
            }
        )


def _check_output(wish: Wish, videos: Sequence[Given]) -> None:
    output = wish.output
    if output is None:
        return
    if output != _STDOUT and (len(videos) > 1 or output.is_dir()):
        if output.is_file() or output.suffix.lower() in _SUFFIXES:
            raise WishUnclear(f"{output} is one file, and there are {len(videos)} videos.", hint="Name a folder.")
        output.mkdir(parents=True, exist_ok=True)
    elif output == _STDOUT and len(videos) > 1:
        raise WishUnclear("Rows of several videos cannot share standard output.", hint="Name a folder with -o.")
    elif output != _STDOUT:
        output.parent.mkdir(parents=True, exist_ok=True)


class _Run:
    def __init__(self, videos: Sequence[Given], wish: Wish, settings: Settings, models: Path) -> None:
        self._videos = videos
        self._wish = wish
        self._settings = settings
        self._models = models
        self._console = Console(stderr=True, highlight=False)
        self._ended: dict[str, Job | VidserveError] = {}
        self._places = asyncio.Semaphore(settings.jobs.running)

    async def go(self) -> int:
        """All videos, as many at a time as jobs may run."""
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        try:
            await self._all()
        except asyncio.CancelledError:
            self._console.print("Stopped.")
            return _INTERRUPTED
        return self._tell()

    async def _all(self) -> None:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[fps]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._console, transient=True) as progress:
            starting = progress.add_task("starting", total=None, fps="")
            async with Runtime(self._settings, models=self._models) as runtime:
                await runtime.wait_ready()
                progress.remove_task(starting)
                async with asyncio.TaskGroup() as group:
                    for video in self._videos:
                        group.create_task(self._one(runtime, video, progress))

    async def _one(self, runtime: Runtime, video: Given, progress: Progress) -> None:
        async with self._places:
            bar = progress.add_task(video.name, total=None, fps="")
            try:
                self._ended[video.name] = await self._analyse(runtime, video, progress, bar)
            except VidserveError as error:
                self._ended[video.name] = error
            progress.remove_task(bar)

    async def _analyse(self, runtime: Runtime, video: Given, progress: Progress, bar: TaskID) -> Job:
        if video.path is not None:
            job = await runtime.jobs.submit_file(video.path, self._wish.analysis)
        else:
            job, _ = await runtime.jobs.submit_url(video.url or "", self._wish.analysis, key=None)
        while not (job := await runtime.jobs.wait(job.id, _POLL_S)).state.ended:
            progress.update(
                bar,
                total=None if job.progress is None else 1.0,
                completed=job.progress or 0.0,
                fps="" if job.fps is None else f"{job.fps:.0f} fps",
            )
        if job.state is JobState.DONE:
            await self._write(runtime, video, job)
        return job

    async def _write(self, runtime: Runtime, video: Given, job: Job) -> None:
        target = self._wish.target(video.name, alone=len(self._videos) == 1)
        if target is None:
            return
        with contextlib.ExitStack() as stack:
            file = sys.stdout.buffer if target == _STDOUT else stack.enter_context(target.open("wb"))
            async for chunk in convert(lambda: runtime.jobs.rows(job.id), self._wish.form):
                file.write(chunk)
            file.flush()

    def _tell(self) -> int:
        ended = [(video.name, self._ended[video.name]) for video in self._videos]
        jobs = [(name, one) for name, one in ended if isinstance(one, Job)]
        table = report_console(stderr=self._wish.output == _STDOUT)
        if jobs:
            table.print(found_table(jobs))
        failed = False
        for name, one in ended:
            if isinstance(one, VidserveError):
                failed = True
                self._console.print(Text(f"{name}:"), end=" ")
                complain(one)
                continue
            failed |= one.state is not JobState.DONE
            if one.error is not None:
                self._console.print(Text(f"{name}: {one.error.message}", style="red"))
            for warning in one.warnings:
                self._console.print(Text(f"{name}: {warning}", style="yellow"))
        return int(failed)
