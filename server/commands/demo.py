"""`vidserve demo`, which `make demo` calls: the server, the sample video, what was found in it, what to try next."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import httpx
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from model_export.errors import VidserveError
from server.commands.address import listen_from, url_of
from server.commands.found import found_table
from server.commands.serve import announce, serve
from server.core.configuration import load
from server.core.keys import wanted_key
from server.core.log import LogConfig, configure
from server.core.settings import Settings
from server.domain.job import Job, JobState
from server.runtime import Runtime

SAMPLE = Path(__file__).parent.parent / "samples" / "street.mp4"

_HOST = "127.0.0.1"
_WAIT_S = 0.3


class DemoFailed(VidserveError):
    """The sample video did not go through."""

    code = "demo_failed"


def run(*, first_port: int, data: Path, once: bool) -> int:
    """Run the demo until Ctrl-C, or until the sample video is done; the exit status.

    Args:
        first_port: the first port to try.
        once: end after the sample video.

    Raises:
        VidserveError: the server cannot start.
    """
    flags = {"data": data, "log.level": "warning"}
    settings = load(Settings, flags=flags, environ=os.environ).settings
    configure(LogConfig.of(settings.log))
    console = Console(highlight=False, soft_wrap=True)
    status = 1

    async def when_ready(runtime: Runtime, url: str) -> bool:
        nonlocal status
        try:
            await announce(runtime, url)
            await _show(console, url, settings, once=once)
        except (DemoFailed, httpx.HTTPError) as error:
            console.print(f"The demo failed: {error}", style="bold red", markup=False)
            return False
        status = 0
        return not once

    listener = listen_from(_HOST, first_port)
    console.print(f"Starting the server at {url_of(listener)} …")
    asyncio.run(serve(settings, listener, when_ready))
    return status


async def _show(console: Console, url: str, settings: Settings, *, once: bool) -> None:
    """Everything over HTTP, as anybody would."""
    key, data = wanted_key(settings), settings.data
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60, trust_env=False) as client:
        job = await _analyse(client, console)
    console.print(f"\n{SAMPLE.name}: {sum(job.frames.values())} frames at {job.fps or 0:.0f} frames a second\n")
    console.print(found_table([(SAMPLE.name, job)]))
    console.print("\n[bold]Try next[/]" + ("" if not once else " (after make demo)"))
    if key:
        console.print('  curl needs the key that is set: -H "Authorization: Bearer KEY"', markup=False)
    vidserve, sample = _from_here(Path(sys.executable).parent / "vidserve"), _from_here(SAMPLE)
    for what, command in (
        ("a video of yours", f"curl -F file=@{sample} {url}/v1/jobs"),
        ("how a job is doing", f"curl '{url}/v1/jobs/{job.id}?wait=30'"),
        ("every object in every frame", f"curl '{url}/v1/jobs/{job.id}/results?format=csv'"),
        ("the models", f"curl {url}/v1/models"),
        ("a model of yours", f"{vidserve} models import MODEL.onnx --family yolox --name NAME --data {data}"),
        ("without a server", f"{vidserve} analyze {sample}"),
        ("every call, in a browser", f"{url}/docs"),
    ):
        console.print(f"  {what + ':':<30} {command}", markup=False)
    if not once:
        console.print("\nServing until Ctrl-C.")


def _from_here(path: Path) -> str:
    """As one would type it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


async def _analyse(client: httpx.AsyncClient, console: Console) -> Job:
    with SAMPLE.open("rb") as file:
        answer = await client.post("/v1/jobs", files={"file": (SAMPLE.name, file, "video/mp4")})
    answer.raise_for_status()
    job = Job.model_validate_json(answer.content)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(SAMPLE.name, total=1.0)
        while not job.state.ended:
            progress.update(bar, completed=job.progress or 0.0)
            answer = await client.get(f"/v1/jobs/{job.id}", params={"wait": _WAIT_S})
            answer.raise_for_status()
            job = Job.model_validate_json(answer.content)
    if job.state is not JobState.DONE:
        raise DemoFailed(f"The job {job.state}: {job.error.message if job.error else 'no reason was given'}")
    return job
