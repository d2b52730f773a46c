"""Small data sets on disk, made in the test that needs them."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from training.configuration import read
from training.data.config import DataConfig
from training.data.listing import Listing, Sample

U8 = npt.NDArray[np.uint8]


def picture(grey: int, width: int = 20, height: int = 16) -> U8:
    """One grey level with a bright corner, uint8 [height, width, 3]."""
    made = np.full((height, width, 3), grey, np.uint8)
    made[:4, :4] = 255
    return made


def save(path: Path, made: U8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), made)
    return path


def folders(root: Path, counts: Mapping[str, int]) -> Path:
    """PNG pictures in folders: `cat/0.png`, …; every one of another grey."""
    grey = 10
    for name, count in counts.items():
        for at in range(count):
            save(root / name / f"{at}.png", picture(grey % 250))
            grey += 3
    return root


def record(path: Path, pictures: Iterator[U8] | Sequence[U8], fps: int = 10) -> Path:
    """A video (H.264)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = list(pictures)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "1", "preset": "ultrafast", "threads": "1"}
        for one in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(one, format="bgr24")))
        container.mux(stream.encode(None))
    return path


def clip(path: Path, frames: int = 20, *, first: int = 10, fps: int = 10) -> Path:
    """A video of which frame n has the grey level `first + 10 · n` (modulo 250)."""
    return record(path, [np.full((32, 48, 3), (first + 10 * at) % 250, np.uint8) for at in range(frames)], fps)


def idx_files(root: Path, train: int = 40, test: int = 10, *, packed: bool = True) -> Path:
    """Pictures of 6 × 5 pixels as MNIST's four files; picture n has the grey n and the class n % 4."""
    root.mkdir(parents=True, exist_ok=True)
    for name, count in (("train", train), ("t10k", test)):
        grey = np.arange(count, dtype=np.uint8)
        idx_file(root / f"{name}-images-idx3-ubyte", np.broadcast_to(grey[:, None, None], (count, 6, 5)), packed=packed)
        idx_file(root / f"{name}-labels-idx1-ubyte", grey % 4, packed=packed)
    return root


def idx_file(path: Path, numbers: U8, *, packed: bool = False) -> None:
    content = bytes([0, 0, 8, numbers.ndim]) + np.array(numbers.shape, ">i4").tobytes() + numbers.tobytes()
    if packed:
        path = path.with_name(f"{path.name}.gz")
        content = gzip.compress(content)
    path.write_bytes(content)


def voc(root: Path, boxes: Mapping[str, Sequence[tuple[str, int, int, int, int]]], lists: Mapping[str, str]) -> Path:
    """Pictures of 100 × 80 pixels with boxes (label, xmin, ymin, xmax, ymax), and lists: file name → picture names."""
    (root / "Annotations").mkdir(parents=True)
    for name, objects in boxes.items():
        save(root / "JPEGImages" / f"{name}.png", picture(90, 100, 80))
        inner = "".join(
            f"<object><name>{label}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
            "</bndbox></object>"
            for label, x1, y1, x2, y2 in objects
        )
        (root / "Annotations" / f"{name}.xml").write_text(
            f"<annotation><size><width>100</width><height>80</height></size>{inner}</annotation>"
        )
    for name, names in lists.items():
        path = root / "ImageSets" / "Main" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(names.split()))
    return root


def listing(classes: str, groups: str | None = None, splits: Sequence[Any] | None = None) -> Listing:
    """Samples without files: a letter each for class and group, such as `listing("aabb", "xyxy")`."""
    labels = tuple(sorted(set(classes)))
    given = splits or [None] * len(classes)
    groups = groups or "".join(chr(0x4E00 + at) for at in range(len(classes)))
    samples = tuple(
        Sample(f"{at:04d}", Path("nowhere"), labels.index(one), group, split)
        for at, (one, group, split) in enumerate(zip(classes, groups, given, strict=True))
    )
    return Listing(samples, labels, "class")


def config(source: Mapping[str, Any], folder: Path, **more: Any) -> DataConfig:
    """A configuration for frames of 16 × 12 pixels, decoded in this process and kept in `folder`."""
    frames = {"width": 16, "height": 12} | more.pop("input", {})
    kept = {"folder": folder, "workers": 0} | more.pop("cache", {})
    return read(DataConfig, {"source": source, "input": frames, "cache": kept} | more)
