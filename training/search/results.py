"""What came of a search, as files: a table of all trials, and a recipe for each of the front."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from training import atomic
from training.search.choices import Given
from training.search.space import Search, to_yaml
from training.search.study_folder import StudyFolder
from training.search.tried import Tried

_COLUMNS = ("trial", "outcome", "rank", "latency_ms", "parameters", "epochs", "seconds", "why")
_LONGEST_NAME = 64


def write(folder: StudyFolder, search: Search, tried: Sequence[Tried], front: Sequence[Tried], measure: str) -> None:
    """Write `trials.csv` and `best-1.yaml` …; recipes that are no longer of the front go.

    Raises:
        RunNotWritten: no space is left.
    """
    ranks = {one.number: rank for rank, one in enumerate(front, start=1)}
    atomic.write(folder.table, _table(search, tried, ranks, measure).encode())
    for rank, one in enumerate(front, start=1):
        atomic.write(folder.recipe(rank), recipe(search, one, rank, measure).encode())
    wanted = {folder.recipe(rank) for rank in ranks.values()}
    for file in folder.recipes():
        if file not in wanted:
            file.unlink()


def recipe(search: Search, tried: Tried, rank: int, measure: str) -> str:
    """What a trial tried, as a recipe that `train` takes; it trains as long as the search file says."""
    given = search.written(Given(tried.chosen))
    suffix = f"-{rank}"
    given["name"] = search.name[: _LONGEST_NAME - len(suffix)] + suffix
    chosen = ", ".join(f"{name} {shown(value)}" for name, value in tried.chosen.items())
    got = f"{measure} {tried.score:.4f} after {len(tried.scores)} epochs, {tried.latency_ms:.3g} ms an answer"
    head = f"# Trial {tried.number} of the search {search.name}: {got}.\n# Chosen: {chosen}\n"
    return head + to_yaml(given)


def shown(value: Any) -> str:
    """A chosen value, short."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _table(search: Search, tried: Sequence[Tried], ranks: dict[int, int], measure: str) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [choice.name for choice in search.choices]
    first, second = _COLUMNS[:3], _COLUMNS[3:]
    writer.writerow([*first, measure, *second, *names])
    for one in tried:
        writer.writerow(
            [
                one.number,
                one.outcome,
                ranks.get(one.number, ""),
                "" if one.score is None else f"{one.score:.6g}",
                "" if one.latency_ms is None else f"{one.latency_ms:.6g}",
                "" if one.parameters is None else one.parameters,
                len(one.scores),
                "" if one.seconds is None else f"{one.seconds:.6g}",
                one.why or "",
                *(one.chosen.get(name, "") for name in names),
            ]
        )
    return text.getvalue()
