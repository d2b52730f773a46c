"""An evaluation as one HTML page with its pictures inside, and as JSON."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from typing import Any

import numpy as np

from training.evaluation import plots
from training.evaluation.answers import ClassAnswers, LabelAnswers, NumberAnswers
from training.evaluation.evaluation import Evaluation
from training.evaluation.intervals import Interval

NAMES: Mapping[str, str] = {
    "accuracy": "accuracy",
    "precision": "precision (macro)",
    "recall": "recall (macro)",
    "f1": "F1 (macro)",
    "auc": "AUC (macro)",
    "average_precision": "average precision (macro)",
    "calibration_error": "expected calibration error",
    "rmse": "root mean squared error",
    "mae": "mean absolute error",
    "r2": "R² (explained part of the variance)",
}
_MOST_GROUPS, _MOST_MISTAKES = 30, 20
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2328; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.about { color: #59636e; margin-top: .2rem; }
table { border-collapse: collapse; margin: .5rem 0; } th { text-align: left; font-weight: 600; }
td, th { padding: .2rem 1.2rem .2rem 0; border-bottom: 1px solid #e3e6ea; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
img { max-width: 100%; vertical-align: top; }
.row { display: flex; flex-wrap: wrap; gap: 1rem; } .row img { max-width: 47%; }
p.note { color: #59636e; max-width: 46rem; }
"""


def as_json(found: Evaluation) -> str:
    """Everything but the answers themselves; what is not known is null."""
    answers = found.answers
    measured = answers.measures()
    content: dict[str, Any] = {
        "model": found.model,
        "runtime": found.runtime,
        "data": found.data,
        "samples": len(found.names),
        "groups": found.groups,
        "measures": {
            name: {"value": value, "low": found.intervals[name].low, "high": found.intervals[name].high}
            for name, value in measured.items()
        },
        "labels": _per_label(found),
        "confusion": answers.confusion().astype(int).tolist() if isinstance(answers, ClassAnswers) else None,
        "calibration": None
        if isinstance(answers, NumberAnswers)
        else {name: value.tolist() for name, value in asdict(answers.calibration()).items()},
        "by_group": [
            {"group": row.group, "samples": row.samples, answers.headline: row.value} for row in found.by_group
        ],
        "conditions": [asdict(row) for row in found.conditions],
        "latency": None if found.latency is None else asdict(found.latency),
    }
    return json.dumps(_known(content), indent=2, ensure_ascii=False) + "\n"


def as_html(found: Evaluation) -> str:
    """The page."""
    answers = found.answers
    sections = [_measures(found)]
    if isinstance(answers, NumberAnswers):
        sections.append(_section("Said and true", _picture(plots.said_and_true(answers, found.labels))))
    else:
        sections.append(_labels(found))
        curves = [
            _picture(plots.roc_curves(answers.rankings, found.labels)),
            _picture(plots.reliability(answers.calibration())),
        ]
        if isinstance(answers, ClassAnswers):
            curves.insert(0, _picture(plots.confusion_matrix(answers.confusion(), found.labels)))
        sections.append(_section("Curves", f'<div class="row">{"".join(curves)}</div>'))
    sections += [_groups(found), _conditions(found), _latency(found)]
    if isinstance(answers, ClassAnswers):
        sections.append(_mistakes(found, answers))
    title = f"{found.model} on {found.data}"
    samples = f"{len(found.names)} samples" + (f" in {found.groups} groups" if found.groups < len(found.names) else "")
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n"
        f"<h1>{escape(found.model)}</h1>\n<p class=about>{escape(found.data)}: {samples};"
        f" answered by {escape(found.runtime)}</p>\n" + "\n".join(filter(None, sections)) + "\n</html>\n"
    )


def _measures(found: Evaluation) -> str:
    rows = [
        (NAMES[name], shown(value), _interval(found.intervals[name]))
        for name, value in found.answers.measures().items()
    ]
    drawn = "groups" if found.groups < len(found.names) else "samples"
    note = (
        f"Intervals are of 95 %, by drawing the {found.groups} {drawn} again and again with replacement."
        if found.groups > 1
        else "There is one group only, so nothing can be said of how sure these numbers are."
    )
    return _section("Measures", _table(("measure", "value", "interval"), rows) + _note(note))


def _labels(found: Evaluation) -> str:
    rows = [
        (
            row["label"],
            row["samples"],
            *(shown(row[key]) for key in ("precision", "recall", "f1", "auc", "average_precision")),
        )
        for row in _per_label(found)
    ]
    heads = ("label", "samples", "precision", "recall", "F1", "AUC", "average precision")
    return _section("By label", _table(heads, rows))


def _groups(found: Evaluation) -> str:
    if not found.by_group:
        return ""
    name = NAMES[found.answers.headline]
    rows = [
        (row.group, row.samples, shown(row.value), "" if row.interval is None else _interval(row.interval))
        for row in found.by_group[:_MOST_GROUPS]
    ]
    values = [row.value for row in found.by_group if not math.isnan(row.value)]
    left = len(found.by_group) - len(rows)
    note = f"The {name} of groups lies between {shown(min(values))} and {shown(max(values))}." if values else ""
    note += f" The worst {len(rows)} are shown; {left} more are in the JSON." if left > 0 else ""
    return _section("By group", _table(("group", "samples", name, "interval"), rows) + _note(note))


def _conditions(found: Evaluation) -> str:
    if not found.conditions:
        return ""
    name = NAMES[found.answers.headline]
    rows = [(row.condition, shown(row.value), f"{row.change:+.3f}") for row in found.conditions]
    note = f"On {found.condition_samples} of the samples, against the same ones as they are."
    return _section("Under worse conditions", _table(("condition", name, "change"), rows) + _note(note))


def _latency(found: Evaluation) -> str:
    if found.latency is None:
        return ""
    one = found.latency
    rows = [("a sample alone, median", f"{one.median_ms:.2f} ms"), ("95 % are faster than", f"{one.p95_ms:.2f} ms")]
    if one.per_frame_ms is not None:
        rows.append(("of that a frame", f"{one.per_frame_ms:.2f} ms"))
    return _section("Latency", _table(("", "time"), rows) + _note(f"{one.runtime}, {one.runs} runs on this machine."))


def _mistakes(found: Evaluation, answers: ClassAnswers) -> str:
    wrong = np.flatnonzero(answers.predicted != answers.target)
    worst = wrong[np.argsort(-answers.said[wrong].max(axis=1), kind="stable")][:_MOST_MISTAKES]
    if not len(worst):
        return ""
    rows = [
        (
            found.names[at],
            found.labels[answers.target[at]],
            found.labels[answers.predicted[at]],
            shown(float(answers.said[at].max())),
        )
        for at in worst
    ]
    note = f"{len(wrong)} of {len(found.names)} samples were answered wrongly; these with the highest confidence."
    return _section("Surest mistakes", _table(("sample", "is", "was called", "confidence"), rows) + _note(note))


def _per_label(found: Evaluation) -> list[dict[str, Any]]:
    answers = found.answers
    if isinstance(answers, NumberAnswers):
        wrong = answers.said - answers.target
        return [
            {
                "label": label,
                "rmse": float(np.sqrt((wrong[:, at] ** 2).mean())),
                "mae": float(np.abs(wrong[:, at]).mean()),
            }
            for at, label in enumerate(found.labels)
        ]
    assert isinstance(answers, ClassAnswers | LabelAnswers)
    per_label, ones = answers.per_label(), np.ones(len(found.names))
    return [
        {
            "label": label,
            "samples": int(per_label.support[at]),
            "precision": float(per_label.precision[at]),
            "recall": float(per_label.recall[at]),
            "f1": float(per_label.f1[at]),
            "auc": answers.rankings[at].auc(ones),
            "average_precision": answers.rankings[at].average_precision(ones),
        }
        for at, label in enumerate(found.labels)
    ]


def _known(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _known(inner) for key, inner in value.items()}
    return [_known(inner) for inner in value] if isinstance(value, list | tuple) else value


def _section(title: str, body: str) -> str:
    return f"<h2>{escape(title)}</h2>\n{body}"


def _note(text: str) -> str:
    return f"<p class=note>{escape(text)}</p>" if text else ""


def _table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """The first column as text, the others as numbers where they look like some."""
    head = "".join(f"<th{_side(at)}>{escape(text)}</th>" for at, text in enumerate(heads))
    body = "".join(
        f"<tr>{''.join(f'<td{_side(at)}>{escape(str(cell))}</td>' for at, cell in enumerate(row))}</tr>\n"
        for row in rows
    )
    return f"<table><tr>{head}</tr>\n{body}</table>\n"


def _side(column: int) -> str:
    return " class=n" if column else ""


def _picture(png: bytes) -> str:
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def shown(value: float) -> str:
    """A measure as text; a dash for NaN."""
    return "–" if math.isnan(value) else f"{value:.4g}" if abs(value) >= 10 else f"{value:.3f}"


def _interval(interval: Interval) -> str:
    return "–" if math.isnan(interval.low) else f"{shown(interval.low)} … {shown(interval.high)}"
