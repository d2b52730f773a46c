"""Zip files from strangers, unpacked without leaving the folder, following links or filling the disk."""

from __future__ import annotations

import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from model_export.errors import BundleInvalid

MAX_BYTES = 4 << 30
MAX_ENTRIES = 1000
MAX_RATIO = 200
"""Unpacked bytes per byte of the archive; weights hardly compress, zeros compress a thousandfold."""
_SMALL = 16 << 20
_CHUNK = 1 << 20


def extract(
    archive: Path, into: Path, *, max_bytes: int = MAX_BYTES, max_entries: int = MAX_ENTRIES, max_ratio: int = MAX_RATIO
) -> None:
    """Unpack a zip file.

    Args:
        archive: the file.
        into: a folder that exists and is empty.
        max_bytes: unpacked, counted while unpacking and not as the archive claims.
        max_entries: files and folders.
        max_ratio: unpacked bytes per byte of the archive, once past 16 MB.

    Raises:
        BundleInvalid: not a readable zip, past a limit, a link or special file, encrypted, twice the same name, or a
            name that is absolute or leads outside. Files may be left in `into`.
    """
    packed = archive.stat().st_size
    allowed = min(max_bytes, max(_SMALL, packed * max_ratio))
    try:
        with zipfile.ZipFile(archive) as content:
            entries = content.infolist()
            if len(entries) > max_entries:
                raise BundleInvalid(f"{archive.name} holds {len(entries)} entries, at most {max_entries} are taken.")
            written = 0
            for entry in entries:
                path = into / _safe_name(archive, entry)
                if entry.is_dir():
                    path.mkdir(parents=True, exist_ok=True)
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                with content.open(entry) as source, path.open("xb") as target:
                    while chunk := source.read(_CHUNK):
                        written += len(chunk)
                        if written > allowed:
                            raise BundleInvalid(
                                f"{archive.name} unpacks to more than {allowed >> 20} MB.",
                                hint="Copy the folder into the repository instead, if you trust it.",
                            )
                        target.write(chunk)
    except FileExistsError as error:
        raise BundleInvalid(f"{archive.name} holds a name twice.") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, NotADirectoryError, RuntimeError) as error:
        raise BundleInvalid(f"{archive.name} is not a zip file that can be read: {error}.") from error


def _safe_name(archive: Path, entry: zipfile.ZipInfo) -> PurePosixPath:
    name = entry.filename
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
        raise BundleInvalid(f"{archive.name} holds the name {name!r}, which leads outside.")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise BundleInvalid(f"{archive.name}: {name!r} is a link or a special file.")
    if entry.flag_bits & 0x1:
        raise BundleInvalid(f"{archive.name}: {name!r} is encrypted.")
    return path
