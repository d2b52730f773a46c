"""Lists and tables of files: Kinetics lists, CSV with a label a line, with labels at once, or with numbers."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.batch import TargetKind
from training.data.listing import Listing, Sample, Split, class_ids, existing
from training.errors import DataInvalid, DataNotFound

_ABOUT = ("path", "label", "start_s", "end_s", "group", "split")
"""Columns that say something of the sample; every other is a target of a table."""

_NAMED = 5
"""Missing files that are named."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A line, with what messages need: where it stands."""

    line: int
    values: Mapping[str, str]


def read_list(
    file: Path,
    *,
    root: Path | None = None,
    labels: Sequence[str] | None = None,
    columns: Mapping[str, str] | None = None,
) -> Listing:
    """Samples with one class each: a CSV `path,label[,start_s,end_s][,group][,split]`, or lines `path label`.

    Args:
        file: CSV where its name ends in .csv, else a line a file, whose last word is its label (Kinetics).
        root: what paths are relative to; None: the file's folder.
        labels: the classes and their order; None: the names found, sorted (numbers by size).
        columns: header of the file → the name that is meant, where they differ, such as `{"clip": "path"}`.

    Raises:
        DataNotFound: no such file, or none of the files it names.
        DataInvalid: a line that cannot be read, or a file that does not exist.
    """
    existing(file, folder=False)
    rows = list(_csv(file, columns or {}, needed=("path", "label")) if file.suffix.lower() == ".csv" else _words(file))
    names = [_label(row, file) for row in rows]
    if labels is None and names and all(name.isdecimal() for name in names):
        labels = [str(number) for number in range(max(map(int, names)) + 1)]
    ids, known = class_ids(names, labels, where=file)
    base = root or file.parent
    _see_files(rows, file, base)
    samples = tuple(_sample(row, class_id, file, base) for row, class_id in zip(rows, ids, strict=True))
    return Listing(samples, known, "class").checked(where=file)


def read_table(
    file: Path,
    kind: TargetKind,
    *,
    root: Path | None = None,
    labels: Sequence[str] | None = None,
    columns: Mapping[str, str] | None = None,
) -> Listing:
    """Samples with a number for each of several columns: labels at once (0 or 1), or numbers to be predicted.

    Args:
        file: CSV `path,NAME…[,start_s,end_s][,group][,split]`.
        kind: what the numbers are.
        root: what paths are relative to; None: the file's folder.
        labels: the columns to learn, and their order; None: every column that is nothing else.
        columns: as in `read_list`.

    Raises:
        DataNotFound: no such file, or none of the files it names.
        DataInvalid: a column that is missing, a value that is no number (or not 0 or 1), or a file that does not exist.
    """
    existing(file, folder=False)
    rows = list(_csv(file, columns or {}, needed=("path", *(labels or ()))))
    known = tuple(labels) if labels else tuple(name for name in (rows[0].values if rows else ()) if name not in _ABOUT)
    if not known:
        raise DataInvalid(f"{file} has no column to learn.", hint="Add one beside `path`, with a number on each line.")
    if "" in known:
        raise DataInvalid(f"{file} has a column without a name.", hint="Name it in the first line, or take it away.")
    base = root or file.parent
    _see_files(rows, file, base)
    samples = tuple(_sample(row, tuple(_number(row, name, kind, file) for name in known), file, base) for row in rows)
    return Listing(samples, known, kind).checked(where=file)


def _words(file: Path) -> Iterator[_Row]:
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        path, _, label = line.strip().rpartition(" ")
        if not path:
            raise DataInvalid(f"{file}, line {number}: {line!r} is not `path label`.")
        yield _Row(number, {"path": path.strip(), "label": label})


def _csv(file: Path, columns: Mapping[str, str], *, needed: Sequence[str]) -> Iterator[_Row]:
    with file.open(newline="", encoding="utf-8-sig") as opened:
        reader = csv.DictReader(opened)
        header = [columns.get(name, columns.get(name.strip(), name.strip())) for name in reader.fieldnames or ()]
        missing = [name for name in needed if name not in header]
        if missing:
            raise DataInvalid(
                f"{file} has no column {missing[0]!r}; its first line is {', '.join(header) or 'empty'}.",
                hint="Name the columns in the first line, or say with `data.source.columns` which is which.",
            )
        reader.fieldnames = header
        for row in reader:
            if None in row or None in row.values():
                raise DataInvalid(f"{file}, line {reader.line_num}: not {len(header)} columns, as its first line has.")
            yield _Row(reader.line_num, {name: value.strip() for name, value in row.items()})


def _see_files(rows: Sequence[_Row], file: Path, base: Path) -> None:
    missing = [(row.line, base / row.values["path"]) for row in rows if not (base / row.values["path"]).is_file()]
    if not missing:
        return
    line, first = missing[0]
    more = "".join(f"\n  line {at}: {path}" for at, path in missing[1:_NAMED])
    left = f"\n  and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    counted = f" So it is with {len(missing)} of {len(rows)} lines:{more}{left}" if len(missing) > 1 else ""
    raise DataNotFound(
        f"{file}, line {line}: there is no file {first}.{counted}",
        hint="Paths are relative to the list's folder, or to `data.source.root`.",
    )


def _sample(row: _Row, target: int | tuple[float, ...], file: Path, base: Path) -> Sample:
    """The sample of a line; named by its path, and its seconds where they are given."""
    values = row.values
    path = base / values["path"]
    start_s, end_s = (_seconds(row, name, file) for name in ("start_s", "end_s"))
    if start_s is not None and end_s is not None and end_s <= start_s:
        raise DataInvalid(f"{file}, line {row.line}: it ends at {end_s:g} s, and begins at {start_s:g} s.")
    cut = "" if start_s is None and end_s is None else f"@{start_s or 0:g}-{'' if end_s is None else f'{end_s:g}'}"
    split = values.get("split") or None
    if split is not None and split not in set(Split):
        raise DataInvalid(f"{file}, line {row.line}: the split {split!r} is none of {', '.join(Split)}.")
    # Cuts of one video show the same scene, so they are a group unless the list says otherwise.
    group = values.get("group") or values["path"]
    return Sample(values["path"] + cut, path, target, group, None if split is None else Split(split), start_s, end_s)


def _label(row: _Row, file: Path) -> str:
    label = row.values["label"]
    if not label:
        raise DataInvalid(
            f"{file}, line {row.line}: the label is empty.",
            hint="Write one, or take the line away. What shows none of the classes has one of its own.",
        )
    return label


def _seconds(row: _Row, name: str, file: Path) -> float | None:
    text = row.values.get(name)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if value < 0:
        raise DataInvalid(f"{file}, line {row.line}: {name} is {text!r}, and no number of seconds.")
    return value


def _number(row: _Row, name: str, kind: TargetKind, file: Path) -> float:
    text = row.values[name]
    try:
        value = float(text)
    except ValueError as error:
        raise DataInvalid(f"{file}, line {row.line}: {name} is {text!r}, and no number.") from error
    if kind == "multi_label" and value not in (0.0, 1.0):
        raise DataInvalid(f"{file}, line {row.line}: {name} is {text}, and neither 0 nor 1.")
    if value != value or value in (float("inf"), float("-inf")):
        raise DataInvalid(f"{file}, line {row.line}: {name} is {text}.")
    return value
