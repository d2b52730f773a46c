"""Boxes cut out of pictures, annotated as Pascal VOC: `Annotations/*.xml`, `JPEGImages`, `ImageSets/Main/*.txt`.

Coordinates of VOC are pixels counted from 1, the last one included; ours are edges counted from 0.
Source: Everingham et al., "The PASCAL Visual Object Classes Challenge", 2010.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from training.data.listing import PICTURES, Listing, Sample, Split, class_ids, existing
from training.errors import DataInvalid, DataNotFound

_LISTS = {Split.TRAIN: "train.txt", Split.VALIDATION: "val.txt", Split.TEST: "test.txt"}


@dataclass(frozen=True, slots=True)
class _Box:
    """An object of a picture: x1 y1 x2 y2 in pixels, cut to the picture."""

    label: str
    xyxy: tuple[int, int, int, int]


def read_voc(path: Path, *, labels: Sequence[str] | None = None, margin: float = 0.0, smallest: int = 4) -> Listing:
    """A sample for each box; all boxes of a picture are one group, and given lists say what pictures are for.

    Args:
        path: the folder that holds `Annotations` and `JPEGImages`.
        labels: the classes and their order; None: the names found, sorted.
        margin: of the box's longer side, added on each side, cut to the picture.
        smallest: a box with a shorter side, in pixels, is left out: annotations have some of no size.

    Raises:
        DataNotFound: no such folder, or a listed picture or annotation is missing.
        DataInvalid: an annotation that is not VOC, or a picture that two lists name.
    """
    existing(path, folder=True)
    annotations = existing(path / "Annotations", folder=True)
    pictures = {
        one.stem: one for one in sorted(existing(path / "JPEGImages", folder=True).iterdir())
        if one.suffix.lower() in PICTURES
    }  # fmt: skip
    splits = _splits(path / "ImageSets" / "Main")
    names = sorted(splits) if splits else sorted(one.stem for one in annotations.glob("*.xml"))
    found: list[tuple[str, int, _Box]] = []
    for name in names:
        if name not in pictures:
            raise DataNotFound(f"The picture {name} is annotated or listed in {path}, and not in JPEGImages.")
        boxes = _boxes(annotations / f"{name}.xml", margin, smallest)
        found += [(name, at, box) for at, box in enumerate(boxes)]
    ids, known = class_ids((box.label for _, _, box in found), labels, where=path)
    samples = tuple(
        Sample(f"{name}#{at}", pictures[name], class_id, name, splits.get(name), box=box.xyxy)
        for (name, at, box), class_id in zip(found, ids, strict=True)
    )
    return Listing(samples, known, "class").checked(where=path)


def _splits(folder: Path) -> dict[str, Split]:
    """Picture → what the given lists say; empty where there are none."""
    found: dict[str, Split] = {}
    for split, name in _LISTS.items():
        if not (folder / name).is_file():
            continue
        for line in (folder / name).read_text(encoding="utf-8").split():
            if found.setdefault(line, split) is not split:
                raise DataInvalid(f"{line} is in {_LISTS[found[line]]} and in {name} of {folder}.")
    return found


def _boxes(file: Path, margin: float, smallest: int) -> list[_Box]:
    try:
        root = ElementTree.parse(file).getroot()
        width, height = (int(_text(root, f"size/{side}")) for side in ("width", "height"))
        boxes = []
        for one in root.iter("object"):
            x1, y1, x2, y2 = (float(_text(one, f"bndbox/{edge}")) for edge in ("xmin", "ymin", "xmax", "ymax"))
            x1, y1 = x1 - 1, y1 - 1
            if min(x2 - x1, y2 - y1) < smallest:
                continue
            wider = margin * max(x2 - x1, y2 - y1)
            xyxy = (
                max(round(x1 - wider), 0), max(round(y1 - wider), 0),
                min(round(x2 + wider), width), min(round(y2 + wider), height),
            )  # fmt: skip
            boxes.append(_Box(_text(one, "name"), xyxy))
    except FileNotFoundError as error:
        raise DataNotFound(f"There is no annotation {file}.") from error
    except (ElementTree.ParseError, ValueError) as error:
        raise DataInvalid(f"{file} is not a VOC annotation: {error}.") from error
    return boxes


def _text(node: ElementTree.Element, path: str) -> str:
    found = node.findtext(path)
    if found is None:
        raise ValueError(f"<{path}> is missing")
    return found.strip()
