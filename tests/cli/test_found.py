from __future__ import annotations

import io
from datetime import UTC, datetime

from rich.console import Console

from server.commands.found import found_table
from server.domain.analysis import Analysis
from server.domain.job import Job, JobState, LabelSummary
from server.domain.outcome import Outcome


def job(state: JobState = JobState.DONE, **summary: LabelSummary) -> Job:
    return Job(
        id="1",
        state=state,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        source="street.mp4",
        analysis=Analysis(),
        frames={Outcome.ANALYSED: 90},
        summary=summary,
    )


def seen(*, frames: int = 10, tracks: int | None = 3, last_s: float = 8.0) -> LabelSummary:
    return LabelSummary(frames=frames, most_at_once=2, tracks=tracks, first_s=1.25, last_s=last_s)


def printed(*jobs: tuple[str, Job]) -> list[list[str]]:
    """The cells of every line below the head."""
    stream = io.StringIO()
    Console(file=stream, width=200).print(found_table(jobs))
    return [line.split() for line in stream.getvalue().splitlines()[1:]]


def test_labels_are_listed_by_how_often_they_were_seen() -> None:
    table = printed(("street", job(car=seen(frames=10), bus=seen(frames=40, tracks=None))))
    assert table == [
        ["street", "90", "bus", "2", "40", "0:01.2", "0:08.0"],
        ["car", "3", "2", "10", "0:01.2", "0:08.0"],
    ]


def test_a_video_with_nothing_in_it_says_so() -> None:
    assert printed(("empty", job())) == [["empty", "90", "nothing"]]


def test_a_video_that_failed_says_so() -> None:
    assert printed(("broken", job(JobState.FAILED))) == [["broken", "90", "failed"]]


def test_long_times_have_minutes_and_hours() -> None:
    assert printed(("long", job(car=seen(last_s=3725.5))))[0][-1] == "1:02:05.5"
