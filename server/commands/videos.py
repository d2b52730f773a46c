"""Which videos the words of a command line mean."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model_export.errors import VidserveError

# Of files in folders and globs; a file that is named itself is tried whatever it is called.
_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("3gp", "asf", "avi", "flv", "gif", "h264", "hevc", "m2ts", "m4v", "mkv", "mov"),
        *("mp4", "mpeg", "mpg", "mts", "mxf", "ogv", "ts", "webm", "wmv"),
    )
)


class NoVideo(VidserveError):
    """A word of the command line means no video."""

    code = "no_video"


@dataclass(frozen=True)
class Given:
    """One video.

    Attributes:
        name: short, and different for each video of a run; a path without its ending.
        path: None for a URL.
    """

    name: str
    path: Path | None
    url: str | None = None


def find_videos(words: Sequence[str]) -> list[Given]:
    """The videos that files, folders, globs and URLs mean, each once, in the order given; folders sorted.

    Raises:
        NoVideo: a word means none.
    """
    paths: dict[Path, str] = {}
    urls: dict[str, str] = {}
    for word in words:
        if word.startswith(("http://", "https://")):
            urls.setdefault(word, Path(word.partition("?")[0]).stem or "video")
            continue
        found = _paths(word)
        if not found:
            raise NoVideo(f"{word} means no video.", hint="Name a video file, a folder with videos, a glob or a URL.")
        for path in found:
            paths.setdefault(path.resolve(), path.stem)
    taken: set[str] = set()
    given = [Given(_unlike(name, taken), path) for path, name in paths.items()]
    return given + [Given(_unlike(name, taken), None, url) for url, name in urls.items()]


def _paths(word: str) -> list[Path]:
    path = Path(word).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        return sorted(child for child in path.rglob("*") if _looks_like_video(child))
    return sorted(Path(name) for name in glob.glob(str(path), recursive=True) if _looks_like_video(Path(name)))


def _looks_like_video(path: Path) -> bool:
    return path.suffix.lower() in _SUFFIXES and path.is_file()


def _unlike(name: str, taken: set[str]) -> str:
    number, unlike = 1, name
    while unlike in taken:
        number += 1
        unlike = f"{name}-{number}"
    taken.add(unlike)
    return unlike
