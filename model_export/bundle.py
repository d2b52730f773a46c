"""A bundle on disk: a model with its manifest, golden samples and whatever else the manifest lists."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from model_export.archive import extract
from model_export.errors import BundleInvalid, ManifestInvalid, ModelExists, VariantUnknown
from model_export.manifest import Manifest

MANIFEST = "manifest.json"
MODEL = "model.onnx"
GOLDEN = "golden.npz"
HIDDEN = ".tmp-"
"""Folders whose names begin so are being written or removed; nobody reads them."""


def variant_file(name: str | None) -> str:
    """The graph of a variant; of None the model's own."""
    return MODEL if name is None else f"model.{name}.onnx"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A folder and what its manifest says. Made by `open`, `write` and `unpack`.

    Attributes:
        manifest: as it holds for the graph that is meant.
        variant: the name of that graph; None: the model's own.
    """

    folder: Path
    manifest: Manifest
    variant: str | None = None

    @property
    def model(self) -> Path:
        """The ONNX file."""
        return self.folder / variant_file(self.variant)

    @property
    def sha256(self) -> str:
        """Of the ONNX file."""
        return self.manifest.files[variant_file(self.variant)]

    def as_variant(self, name: str | None) -> Bundle:
        """The same bundle with one of its variants as the graph that is meant; None: the model's own.

        Raises:
            VariantUnknown: it has none of that name.
        """
        if name is None:
            return self
        variant = self.manifest.variants.get(name)
        if variant is None:
            there = f"it has {', '.join(self.manifest.variants)}" if self.manifest.variants else "it has none"
            raise VariantUnknown(
                f"{self.manifest.id} has no variant {name!r}; {there}.",
                hint=f"Export it with --variants {name}, or take the setting away: the model itself serves then.",
            )
        manifest = self.manifest.model_copy(update={"precision": variant.precision, "batch": variant.batch})
        return Bundle(self.folder, manifest, name)

    @property
    def golden(self) -> Path | None:
        """The golden samples, or None where the bundle has none."""
        return self.folder / GOLDEN if GOLDEN in self.manifest.files else None

    @classmethod
    def open(cls, folder: Path) -> Bundle:
        """Read the manifest and see that every file it lists is there; cheap, hashes are `verify`'s.

        Raises:
            ManifestInvalid: no manifest, or not a valid one.
            BundleInvalid: a file is missing, or the manifest lists a path outside the folder.
        """
        bundle = cls(folder, Manifest.read(folder / MANIFEST))
        for name in bundle.manifest.files:
            if not _is_inside(name):
                raise BundleInvalid(f"{folder}: the manifest lists {name!r}, which lies outside the bundle.")
            if not (folder / name).is_file():
                raise BundleInvalid(f"{folder}: {name} is missing.", hint="Import the model again.")
        if MODEL not in bundle.manifest.files:
            raise BundleInvalid(f"{folder}: the manifest lists no {MODEL}.")
        for name in bundle.manifest.variants:
            if variant_file(name) not in bundle.manifest.files:
                raise BundleInvalid(f"{folder}: the manifest has a variant {name}, and lists no {variant_file(name)}.")
        return bundle

    def verify(self) -> None:
        """Compare every file with its hash in the manifest.

        Raises:
            BundleInvalid: a file is missing, changed, a link, or not in the manifest.
        """
        found: set[str] = set()
        for path in sorted(self.folder.rglob("*")):
            name = path.relative_to(self.folder).as_posix()
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise BundleInvalid(f"{self.folder}: {name} is a link or a special file.")
            if path.is_file():
                found.add(name)
        listed = set(self.manifest.files)
        for name in sorted(found - listed - {MANIFEST}):
            raise BundleInvalid(
                f"{self.folder}: {name} is not in the manifest.", hint="Move it away, or import the model again."
            )
        for name in sorted(listed - found):
            raise BundleInvalid(f"{self.folder}: {name} is missing.", hint="Import the model again.")
        for name, expected in self.manifest.files.items():
            if sha256_of(self.folder / name) != expected:
                raise BundleInvalid(
                    f"{self.folder}: {name} is not the file that the manifest was written for.",
                    hint="Import the model again.",
                )

    @classmethod
    def write(cls, folder: Path, manifest: Manifest, files: Mapping[str, bytes | Path]) -> Bundle:
        """Write a bundle; it appears whole or not at all.

        Args:
            folder: to be made; must not exist.
            manifest: its `files` are replaced by the hashes of `files`.
            files: name in the bundle → content, or a file to copy.

        Raises:
            ModelExists: the folder is there already.
            ValueError: a name outside the folder, or no `model.onnx`.
        """
        if MODEL not in files or MANIFEST in files or not all(map(_is_inside, files)):
            raise ValueError(f"files of a bundle: {sorted(files)}")
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=HIDDEN, dir=folder.parent))
        try:
            staging.chmod(0o755)
            hashes: dict[str, str] = {}
            for name in sorted(files):
                path, content = staging / name, files[name]
                path.parent.mkdir(parents=True, exist_ok=True)
                if isinstance(content, Path):
                    shutil.copyfile(content, path)
                else:
                    path.write_bytes(content)
                hashes[name] = sha256_of(path)
            sealed = manifest.model_copy(update={"files": hashes})
            (staging / MANIFEST).write_text(sealed.to_json(), encoding="utf-8")
            settle(staging, folder)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        return cls(folder, sealed)

    def renumbered(self, version: int) -> Bundle:
        """The same as another version. Only for a bundle that nobody else can see yet."""
        manifest = self.manifest.model_copy(update={"version": version})
        (self.folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
        return Bundle(self.folder, manifest)

    @classmethod
    def unpack(cls, archive: Path, into: Path) -> Bundle:
        """Unpack an uploaded bundle (zip) and verify it; the manifest lies at the top or in the one folder there.

        Args:
            archive: the zip file, whoever made it.
            into: the folder to be made; must not exist.

        Raises:
            BundleInvalid: not a zip, too large, a name that leads outside, a link, or not a whole bundle.
            ManifestInvalid: no manifest, or not a valid one.
            ModelExists: the folder is there already.
        """
        into.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=HIDDEN, dir=into.parent))
        try:
            extract(archive, staging)
            content = staging
            if not (staging / MANIFEST).exists():
                inner = list(staging.iterdir())
                if len(inner) != 1 or not (inner[0] / MANIFEST).is_file():
                    raise ManifestInvalid(f"{archive.name} holds no {MANIFEST}.", hint="Zip the bundle's folder.")
                content = inner[0]
            cls.open(content).verify()
            content.chmod(0o755)
            settle(content, into)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        return cls.open(into)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def settle(staging: Path, folder: Path) -> None:
    """Move a finished folder into place, so that a crash leaves all of it or nothing.

    Raises:
        ModelExists: there is something already.
    """
    for path in staging.rglob("*"):
        _sync(path)
    _sync(staging)
    if folder.exists():
        raise ModelExists(f"{folder} is there already.", hint="Take another version, or remove that one first.")
    try:
        staging.rename(folder)
    except OSError as error:
        if folder.exists():
            raise ModelExists(f"{folder} is there already.", hint="Take another version.") from error
        raise
    _sync(folder.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\\" not in name
