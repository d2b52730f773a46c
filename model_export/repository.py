"""The folder of bundles: `<root>/<name>/<version>/`, and which version serves.

What is served is decided by the folder and one file, `_defaults.json`; both change atomically, so a server and the
command line may use the same folder at the same time without locks. A bundle that is not whole is listed with the
reason and never served.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from model_export.bundle import HIDDEN, Bundle, settle
from model_export.defaults import Defaults
from model_export.entries import Entry, is_name, look, name_folders, of_one_task, version_folders
from model_export.errors import BundleInvalid, ModelExists, ModelNotFound, ModelReadOnly, TaskDiffers
from model_export.manifest import Task, check_for_video, parse_reference

_STALE_S = 24 * 3600.0
_TRIES = 10


class Repository:
    """The models of a server.

    Args:
        root: the user's bundles; need not exist yet.
        shipped: a read-only folder of the same layout, looked at after `root`. A version that is in both is `root`'s.
    """

    def __init__(self, root: Path, *, shipped: Path | None = None) -> None:
        self.root = root
        self.shipped = shipped

    def names(self) -> tuple[str, ...]:
        """Of every model, broken ones included, sorted."""
        found = {
            folder.name
            for root in self._roots()
            for folder in name_folders(root)
            if any(True for _ in version_folders(folder))
        }
        return tuple(sorted(found))

    def entries(self, name: str | None = None) -> tuple[Entry, ...]:
        """Every version, of one model or of all, sorted; broken ones too.

        Raises:
            BundleInvalid: `_defaults.json` cannot be read.
        """
        defaults = Defaults.read(self.root)
        found: list[Entry] = []
        for one in (name,) if name else self.names():
            versions = self._entries(one)
            pinned = defaults.versions.get(one)
            serving = pinned or max((entry.version for entry in versions if entry.bundle), default=None)
            found += [replace(entry, serves=bool(entry.bundle) and entry.version == serving) for entry in versions]
        return tuple(found)

    def versions(self, name: str) -> tuple[int, ...]:
        """The versions of a model that can be served, rising."""
        return tuple(entry.version for entry in self._entries(name) if entry.bundle)

    def resolve(self, reference: str) -> Bundle:
        """The bundle that `name` (the version set as default, else the highest valid one) or `name@version` is.

        Raises:
            ManifestInvalid: the reference is not well formed, or the bundle's manifest is not.
            ModelNotFound: there is none, or the version set as default is gone or broken.
            BundleInvalid: that version is broken.
        """
        name, version = parse_reference(reference)
        entries = self._entries(name)
        if not entries:
            raise ModelNotFound(f"There is no model {name!r}.", hint=self._known())
        pinned = None if version else Defaults.read(self.root).versions.get(name)
        wanted = version or pinned or max((entry.version for entry in entries if entry.bundle), default=None)
        if wanted is None:
            raise ModelNotFound(f"No version of {name!r} can be served: {entries[-1].problem}")
        entry = next((entry for entry in entries if entry.version == wanted), None)
        if entry is not None and entry.bundle is not None:
            return entry.bundle
        problem = entry.problem if entry is not None else "it is not there"
        if pinned:
            raise ModelNotFound(
                f"Version {wanted} of {name!r} is set as default and cannot be served: {problem}",
                hint=f"Set another one, or none: vidserve models default {name} --highest.",
            )
        if entry is not None:
            raise BundleInvalid(problem)
        have = ", ".join(str(entry.version) for entry in entries)
        raise ModelNotFound(f"There is no version {wanted} of {name!r}; there is {have}.")

    def default(self) -> Bundle:
        """The model that serves where a request names none: the one that was set, else the first that ships with the
        server, else the only one there is.

        Raises:
            ModelNotFound: none of these, or the one that was set is gone.
        """
        name = self.default_model()
        if name is None:
            raise ModelNotFound(
                "No model is named and none is set as default.",
                hint="Name one, or set it: vidserve models default NAME.",
            )
        return self.resolve(name)

    def default_model(self) -> str | None:
        """The name of the model that `default` stands for, or None."""
        name = Defaults.read(self.root).model
        if name is None and self.shipped is not None:
            name = next((one for one in sorted(f.name for f in name_folders(self.shipped)) if self.versions(one)), None)
        if name is None:
            served = [one for one in self.names() if self.versions(one)]
            name = served[0] if len(served) == 1 else None
        return name

    def set_default(self, name: str, version: int | None) -> None:
        """Let `version` serve under the bare name; None: the highest valid one, whatever comes.

        Raises:
            ModelNotFound, BundleInvalid, ManifestInvalid: it is not there, or broken.
        """
        if version is not None:
            self.resolve(f"{name}@{version}")
        Defaults.read(self.root).with_version(name, version).save(self.root)

    def set_default_model(self, name: str | None) -> None:
        """Let this model serve where a request names none.

        Raises:
            ModelNotFound, BundleInvalid, ManifestInvalid: it is not there, or broken.
            TaskNotForVideo: it takes tensors.
        """
        if name is not None:
            check_for_video(self.resolve(name).manifest)
        Defaults.read(self.root).with_model(name).save(self.root)

    def check_task(self, name: str, task: Task) -> None:
        """See that a model of this task may become a version of the name: all of one name are of one task.

        Raises:
            TaskDiffers: the name is another task's.
        """
        there = next((entry.bundle.manifest for entry in self._entries(name) if entry.bundle), None)
        if there is not None and there.task is not task:
            raise TaskDiffers(
                f"{there.id} is of task {there.task}, so a model of task {task} cannot be a version of {name}.",
                hint="Give it another name.",
            )

    def next_version(self, name: str) -> int:
        """One more than the highest there is, broken ones and the shipped ones included."""
        return max((entry.version for entry in self._entries(name)), default=0) + 1

    def folder(self, name: str, version: int) -> Path:
        """Where a version of the user's lies, or would."""
        return self.root / name / str(version)

    def staging(self) -> Path:
        """A folder beside the bundles, not made yet, for one that is to be added; swept up if nobody does."""
        self.root.mkdir(parents=True, exist_ok=True)
        self._sweep()
        return Path(tempfile.mkdtemp(prefix=HIDDEN, dir=self.root)) / "bundle"

    def add(self, bundle: Bundle) -> Bundle:
        """Verify a bundle and move its folder into place.

        Args:
            bundle: in a folder of `staging`, or anywhere else; a folder of another file system is copied.

        Raises:
            BundleInvalid: it is not whole.
            TaskDiffers: its name is another task's.
            ModelExists: that version is there already.
        """
        bundle.verify()
        self.check_task(bundle.manifest.name, bundle.manifest.task)
        target = self.folder(bundle.manifest.name, bundle.manifest.version)
        target.parent.mkdir(parents=True, exist_ok=True)
        if os.stat(bundle.folder).st_dev == os.stat(target.parent).st_dev:
            settle(bundle.folder, target)
        else:
            copy = self.staging()
            shutil.copytree(bundle.folder, copy)
            settle(copy, target)
            shutil.rmtree(bundle.folder, ignore_errors=True)
        if bundle.folder.parent.name.startswith(HIDDEN):
            shutil.rmtree(bundle.folder.parent, ignore_errors=True)
        return Bundle.open(target)

    def take(self, bundle: Bundle, *, renumber: bool) -> Bundle:
        """As `add`, unless the same model is there already under its version: then that is it.

        Args:
            bundle: in a folder that is nobody else's.
            renumber: where another model has its version, it becomes the next one.

        Raises:
            BundleInvalid: it is not whole.
            TaskDiffers: its name is another task's.
            ModelExists: its version is there, and is another one.
        """
        self.check_task(bundle.manifest.name, bundle.manifest.task)
        for _ in range(_TRIES):
            name, version = bundle.manifest.name, bundle.manifest.version
            there = next((entry for entry in self._entries(name) if entry.version == version), None)
            if there is not None and there.bundle is not None and there.bundle.manifest == bundle.manifest:
                return there.bundle
            if there is not None and renumber:
                bundle = bundle.renumbered(self.next_version(name))
            elif there is not None:
                break
            # Somebody else may be quicker.
            with suppress(ModelExists):
                return self.add(bundle)
        raise ModelExists(
            f"{bundle.manifest.id} is there already, and is another one.",
            hint="Give it another version, or remove that one first.",
        )

    def remove(self, name: str, version: int | None = None) -> tuple[int, ...]:
        """Remove a version, or every one of the user's; returns those that went. Settings that named them go too.

        Raises:
            ModelNotFound: there is none.
            ModelReadOnly: it ships with the server.
        """
        entries = [entry for entry in self._entries(name) if version in (None, entry.version)]
        if not entries:
            raise ModelNotFound(f"There is no model {f'{name}@{version}' if version else name!r}.", hint=self._known())
        going = [entry for entry in entries if not entry.shipped]
        if not going:
            raise ModelReadOnly(f"{name} ships with the server and cannot be removed.")
        for entry in going:
            grave = Path(tempfile.mkdtemp(prefix=HIDDEN, dir=self.root))
            entry.folder.rename(grave / "bundle")
            shutil.rmtree(grave, ignore_errors=True)
        if not any(version_folders(self.root / name)):
            shutil.rmtree(self.root / name, ignore_errors=True)
        left = {entry.version for entry in self._entries(name)}
        defaults = Defaults.read(self.root)
        kept = defaults
        if defaults.versions.get(name, 0) in {entry.version for entry in going} - left:
            kept = kept.with_version(name, None)
        if defaults.model == name and not left:
            kept = kept.with_model(None)
        if kept != defaults:
            kept.save(self.root)
        return tuple(entry.version for entry in going)

    def _roots(self) -> tuple[Path, ...]:
        return (self.root,) if self.shipped is None else (self.root, self.shipped)

    def _entries(self, name: str) -> tuple[Entry, ...]:
        if not is_name(name):
            return ()
        looked = [
            look(name, version, folder, shipped=root == self.shipped)
            for root in self._roots()
            for version, folder in version_folders(root / name)
        ]
        found: dict[int, Entry] = {}
        for entry in of_one_task(looked):
            found.setdefault(entry.version, entry)
        return tuple(found[version] for version in sorted(found))

    def _known(self) -> str:
        names = self.names()
        return f"There is {', '.join(names)}." if names else "Import one: vidserve models import --help."

    def _sweep(self) -> None:
        """Remove what processes that died left behind."""
        for path in [*self.root.glob(f"{HIDDEN}*"), *self.root.glob(f"*/{HIDDEN}*")]:
            try:
                stale = time.time() - path.stat().st_mtime > _STALE_S
            except FileNotFoundError:
                continue  # its owner was quicker
            if stale and path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
