"""idx files, as MNIST comes in: `train-images-idx3-ubyte.gz`, `train-labels-idx1-ubyte.gz`, and the two of `t10k`.

Format: two zero bytes, the type (8: unsigned byte), the number of axes, the axes as big-endian int32, then the numbers.
Source: LeCun, Cortes, Burges, "The MNIST database of handwritten digits", 1998.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from training.data.listing import U8, Listing, Sample, Split, existing
from training.errors import DataInvalid, DataNotFound

_UNSIGNED_BYTE = 8
_SETS = {"train": None, "t10k": Split.TEST}
"""The training pictures are for training and validation, as the split cuts them."""


def read_idx(path: Path, *, labels: Sequence[str] | None = None) -> Listing:
    """The pictures of a folder of idx files, uint8 [samples, 1, H, W, 1], grey.

    Args:
        path: the folder. `t10k` is a given list of test samples.
        labels: the classes' names; None: their numbers.

    Raises:
        DataNotFound: no such folder, or files missing in it.
        DataInvalid: a file that is not idx, or labels that do not fit the pictures or `labels`.
    """
    existing(path, folder=True)
    samples: list[Sample] = []
    pixels: list[U8] = []
    numbers: list[U8] = []
    for name, split in _SETS.items():
        if split is Split.TEST and not _find(path, f"{name}-images-idx3-ubyte"):
            continue
        pictures_file, classes_file = (
            _needed(path, f"{name}-images-idx3-ubyte"),
            _needed(path, f"{name}-labels-idx1-ubyte"),
        )
        pictures, classes = _read(pictures_file, axes=3), _read(classes_file, axes=1)
        if len(pictures) != len(classes):
            raise DataInvalid(
                f"{pictures_file.name} has {len(pictures)} pictures and {classes_file.name} {len(classes)} labels.",
                hint="They are of two data sets, or one is cut off.",
            )
        pixels.append(pictures[:, None, :, :, None])
        numbers.append(classes)
        samples += [
            Sample(name_of := f"{name}/{at}", pictures_file, int(one), name_of, split) for at, one in enumerate(classes)
        ]
    known = tuple(labels) if labels else tuple(str(one) for one in range(int(max(one.max() for one in numbers)) + 1))
    highest = int(max(one.max() for one in numbers))
    if highest >= len(known):
        raise DataInvalid(f"{path} has a class {highest}, and `data.source.labels` names {len(known)}.")
    if len({one.shape[1:] for one in pixels}) > 1:
        raise DataInvalid(f"The pictures for training and for tests in {path} are not of one size.")
    return Listing(tuple(samples), known, "class", np.concatenate(pixels)).checked(where=path)


def _find(folder: Path, name: str) -> Path | None:
    found = [one for one in (folder / name, folder / f"{name}.gz") if one.is_file()]
    return found[0] if found else None


def _needed(folder: Path, name: str) -> Path:
    found = _find(folder, name)
    if found is None:
        raise DataNotFound(f"{folder} has no {name} and no {name}.gz.", hint="Put all four files there.")
    return found


def _read(file: Path, *, axes: int) -> U8:
    try:
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataInvalid(f"{file} cannot be unpacked: {error}.", hint="Fetch it again.") from error
    start = 4 + 4 * axes
    if len(content) < start or content[:2] != b"\0\0" or content[2] != _UNSIGNED_BYTE or content[3] != axes:
        raise DataInvalid(f"{file} is not an idx file of unsigned bytes with {axes} axes.")
    shape = tuple(int(size) for size in np.frombuffer(content, ">i4", axes, offset=4))
    if len(content) - start != math.prod(shape):
        raise DataInvalid(
            f"{file} says that it holds {' × '.join(map(str, shape))} bytes, and holds {len(content) - start}.",
            hint="Fetch it again.",
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
