"""What was found in videos, as a table on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from server.domain.job import Job, JobState
from server.domain.outcome import Outcome


def found_table(jobs: Sequence[tuple[str, Job]]) -> Table:
    """A line for each label of each video; one for a video in which nothing was found, or that failed."""
    table = Table(
        "video", "frames", "label", "objects", "most at once", "in frames", "first", "last", box=None, pad_edge=False
    )
    for column in table.columns[1:2] + table.columns[3:]:
        column.justify = "right"
    for name, job in jobs:
        frames = str(job.frames.get(Outcome.ANALYSED, 0))
        if job.state is not JobState.DONE:
            table.add_row(name, frames, f"[red]{job.state}[/]")
            continue
        if not job.summary:
            table.add_row(name, frames, "[dim]nothing[/]")
        for label, seen in sorted(job.summary.items(), key=lambda item: -item[1].frames):
            tracks = "" if seen.tracks is None else str(seen.tracks)
            times = _clock(seen.first_s), _clock(seen.last_s)
            table.add_row(name, frames, label, tracks, str(seen.most_at_once), str(seen.frames), *times)
            name = frames = ""
    return table


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"
