"""The process that brings one model in, as the server starts it: an order in, reports out."""

from __future__ import annotations

import json
import os
import platform
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from model_builders import doubling, saved, yolox_like
from template import Forked
from wicked_builders import (
    a_link,
    bomb,
    crashing,
    endless,
    greedy,
    pointing_to,
    with_entry,
    with_weights_beside,
    zipped,
)

from model_export.bundle import Bundle
from model_export.import_process import BUNDLE, ImportOrder, Report
from model_export.importer import import_model
from model_export.options import ImportOptions, Wishes
from model_export.preprocessing import Colour
from model_export.repository import Repository

IMPORTED_WHEN_CALLED = ["model_export.check", "model_export.importer"]
RAW = ImportOptions.model_validate({"family": "raw", "name": "net"})
YOLOX = ImportOptions.model_validate({"family": "yolox", "name": "net", "labels": "car\nbus\nperson"})


class Import:
    """The process, with the folder that it works in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "import"
        self.folder.mkdir()
        self.lines: list[str] = []

    def start(
        self, file: Path, options: ImportOptions | None, *, anew: bool = False, **limits: Any
    ) -> Forked | subprocess.Popen[bytes]:
        """Forked from one that has imported everything, unless it is to be started anew or with a `preexec_fn`."""
        order = ImportOrder(
            folder=self.folder,
            file=file,
            options=options,
            version=limits.pop("version", 1),
            memory_bytes=limits.pop("memory_bytes", 4 << 30),
            seconds=limits.pop("seconds", 120),
        )
        module = "model_export.import_process"
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        environ = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        process: Forked | subprocess.Popen[bytes]
        if anew or limits or sys.platform != "linux":
            process = subprocess.Popen([sys.executable, "-m", module], env=environ, **streams, **limits)
        else:
            process = Forked(module, imports=IMPORTED_WHEN_CALLED, env=environ, **streams)
        assert process.stdin is not None
        process.stdin.write(order.model_dump_json(by_alias=True).encode() + b"\n")
        process.stdin.flush()
        return process

    def run(self, file: Path, options: ImportOptions | None = None, **limits: Any) -> tuple[int, Report]:
        """The exit code, and the last report."""
        with self.start(file, options, **limits) as process:
            assert process.stdout is not None
            reports = [Report.model_validate_json(line) for line in process.stdout]
            code = process.wait(60)
        self.lines = [report.line for report in reports if report.line]
        return code, reports[-1] if reports else Report()

    def refused(self, file: Path, options: ImportOptions | None = None, **limits: Any) -> tuple[str, str]:
        """Code and message of a refusal."""
        code, last = self.run(file, options, **limits)
        assert code == 0
        assert last.failed is not None, last
        assert str(self.folder) not in last.failed.message
        assert not last.done
        return last.failed.code, last.failed.message

    @property
    def bundle(self) -> Bundle:
        return Bundle.open(self.folder / BUNDLE)


@pytest.fixture
def importing(tmp_path: Path) -> Import:
    return Import(tmp_path)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """One that is good."""
    repository = Repository(tmp_path / "models")
    return import_model(saved(yolox_like(), tmp_path), family="yolox", name="net", repository=repository)


def with_manifest(bundle: Bundle, path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """The bundle as zip, its manifest changed."""
    manifest = json.loads((bundle.folder / "manifest.json").read_bytes())
    change(manifest)
    return zipped(bundle.folder, path, manifest_json=json.dumps(manifest).encode())


# ── what is brought in ───────────────────────────────────────────────────────────────────────────────────────────────


def test_an_onnx_file_becomes_a_bundle_and_what_was_proved_is_said(tmp_path: Path, importing: Import) -> None:
    code, last = importing.run(saved(yolox_like(), tmp_path, "my net.onnx"), YOLOX, version=7, anew=True)

    assert (code, last.done) == (0, True)
    assert any("Parity shown" in line for line in importing.lines)
    assert importing.bundle.manifest.id == "net@7"
    assert importing.bundle.manifest.labels == ("car", "bus", "person")
    assert importing.bundle.manifest.provenance.source == "my net.onnx"


def test_a_bundle_stays_byte_for_byte_what_it_was(tmp_path: Path, importing: Import, bundle: Bundle) -> None:
    code, last = importing.run(zipped(bundle.folder, tmp_path / "b.zip"))

    assert (code, last.done) == (0, True)
    assert importing.bundle.manifest == bundle.manifest
    assert importing.bundle.model.read_bytes() == bundle.model.read_bytes()
    assert "Golden samples agree." in importing.lines


def test_an_onnx_file_may_come_with_its_weights_in_a_zip(tmp_path: Path, importing: Import) -> None:
    code, last = importing.run(zipped(with_weights_beside(tmp_path / "net").parent, tmp_path / "net.zip"), RAW)

    assert (code, last.done) == (0, True)
    assert set(importing.bundle.manifest.files) == {"model.onnx", "weights.bin", "golden.npz"}


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/../../evil", "C:\\evil"])
def test_a_zip_with_a_name_that_leads_outside(tmp_path: Path, importing: Import, bundle: Bundle, name: str) -> None:
    file = with_entry(zipped(bundle.folder, tmp_path / "b.zip"), name)

    code, message = importing.refused(file)
    assert (code, "leads outside" in message) == ("bundle_invalid", True)
    assert not list(tmp_path.rglob("evil"))


def test_a_zip_with_a_link(tmp_path: Path, importing: Import, bundle: Bundle) -> None:
    file = with_entry(zipped(bundle.folder, tmp_path / "b.zip"), a_link("report/passwd"), b"/etc/passwd")

    code, message = importing.refused(file)
    assert (code, "is a link" in message) == ("bundle_invalid", True)


def test_a_zip_bomb(tmp_path: Path, importing: Import) -> None:
    code, message = importing.refused(bomb(tmp_path / "b.zip"))
    assert (code, "unpacks to more than" in message) == ("bundle_invalid", True)
    assert sum(path.stat().st_size for path in importing.folder.rglob("*") if path.is_file()) == 0


@pytest.mark.parametrize("content", [b"no zip at all", b"PK\x03\x04 but no more"])
def test_what_is_no_zip(tmp_path: Path, importing: Import, content: bytes) -> None:
    (tmp_path / "b.zip").write_bytes(content)

    code, message = importing.refused(tmp_path / "b.zip")
    assert (code, "is not a zip file" in message) == ("bundle_invalid", True)


def test_a_zip_without_a_manifest(tmp_path: Path, importing: Import) -> None:
    (tmp_path / "net").mkdir()
    saved(doubling(), tmp_path / "net")

    refusal = importing.refused(zipped(tmp_path / "net", tmp_path / "b.zip"))
    assert refusal == ("manifest_invalid", "b.zip holds no manifest.json.")


@pytest.mark.parametrize("file", ["model_onnx", "golden_npz"])
def test_a_bundle_with_a_wrong_hash(tmp_path: Path, importing: Import, bundle: Bundle, file: str) -> None:
    original = (bundle.folder / file.replace("_", ".")).read_bytes()

    code, message = importing.refused(zipped(bundle.folder, tmp_path / "b.zip", **{file: original + b"\0"}))
    assert code == "bundle_invalid"
    assert message.startswith(f"The bundle: {file.replace('_', '.')} is not the file that the manifest was written for")


def test_a_manifest_that_cannot_be(tmp_path: Path, importing: Import, bundle: Bundle) -> None:
    file = with_manifest(bundle, tmp_path / "b.zip", lambda manifest: manifest.update(version=0))

    assert importing.refused(file)[0] == "manifest_invalid"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m["inputs"][0].update(name="pictures") or m["input"].update(name="pictures"), "input 'frames'"),
        (lambda m: m["inputs"][0].update(dtype="float32"), "float32 [any, 64, 64, 3] and uint8 [any, 64, 64, 3]"),
        (lambda m: m["inputs"][0].update(shape=[None, 32, 64, 3]), "uint8 [any, 32, 64, 3]"),
        (lambda m: m["outputs"].pop(), "output 'class_ids'"),
        (lambda m: m.update(task="classify"), "A model of task classify answers 'probabilities'"),
    ],
    ids=["name", "dtype", "shape", "output", "task"],
)
def test_a_graph_that_does_not_match_its_manifest(
    tmp_path: Path, importing: Import, bundle: Bundle, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    code, message = importing.refused(with_manifest(bundle, tmp_path / "b.zip", change))

    assert code == "bundle_invalid"
    assert said in message


def test_golden_answers_that_are_others(tmp_path: Path, importing: Import, bundle: Bundle) -> None:
    file, repository, turned = saved(yolox_like(), tmp_path), Repository(tmp_path / "o"), Wishes(colour=Colour.RGB)
    other = import_model(file, family="yolox", name="other", repository=repository, wishes=turned)
    (bundle.folder / "golden.npz").write_bytes((other.folder / "golden.npz").read_bytes())
    file = with_manifest(
        bundle,
        tmp_path / "b.zip",
        lambda manifest: manifest["files"].update({"golden.npz": other.manifest.files["golden.npz"]}),
    )

    assert importing.refused(file)[0] == "golden_mismatch"


@pytest.mark.parametrize("location", ["/etc/passwd", "../secret.bin", "../../import/order", ""])
@pytest.mark.parametrize("packed", [False, True], ids=["alone", "in a zip"])
def test_weights_that_lie_elsewhere(tmp_path: Path, importing: Import, location: str, packed: bool) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(4096))
    file = pointing_to(with_weights_beside(tmp_path / "net"), location)
    if packed:
        file = zipped(file.parent, tmp_path / "net.zip")

    code, message = importing.refused(file, RAW)
    assert (code, "outside its own folder" in message) == ("import_refused", True)


def test_weights_that_are_not_there(tmp_path: Path, importing: Import) -> None:
    file = with_weights_beside(tmp_path / "net").rename(tmp_path / "alone.onnx")

    code, message = importing.refused(file, RAW)
    assert (code, "which is not there" in message) == ("import_refused", True)


def test_a_bundle_whose_graph_takes_weights_from_elsewhere(tmp_path: Path, importing: Import) -> None:
    good = import_model(
        with_weights_beside(tmp_path / "net"), family="raw", name="net", repository=Repository(tmp_path / "models")
    )
    (tmp_path / "models" / "secret.bin").write_bytes(bytes(4096))
    pointing_to(good.model, "../../secret.bin")
    hashes = dict(good.manifest.files)
    proved = Bundle.write(tmp_path / "evil" / "net" / "1", good.manifest, {n: good.folder / n for n in hashes})

    code, message = importing.refused(zipped(proved.folder, tmp_path / "b.zip"))
    assert (code, "outside its own folder" in message) == ("import_refused", True)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("options", [RAW, YOLOX], ids=["raw", "yolox"])
def test_a_truncated_onnx_file(tmp_path: Path, importing: Import, share: float, options: ImportOptions) -> None:
    file = saved(yolox_like(), tmp_path)
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])

    assert importing.refused(file, options)[0] == "import_refused"


def test_labels_of_the_wrong_count(tmp_path: Path, importing: Import) -> None:
    options = ImportOptions.model_validate({"family": "yolox", "name": "net", "labels": "car\nbus"})

    code, message = importing.refused(saved(yolox_like(), tmp_path), options)
    assert (code, "Classes of the model: 3" in message) == ("import_refused", True)


def test_a_hint_speaks_of_fields_and_not_of_options(tmp_path: Path, importing: Import) -> None:
    _, last = importing.run(saved(doubling(), tmp_path), YOLOX)

    assert last.failed is not None
    assert last.failed.hint is not None
    assert "`family` raw" in last.failed.hint


# ── what would do harm ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors divide the smallest number by -1")
def test_a_graph_that_crashes_onnx_runtime_takes_this_process_alone(tmp_path: Path, importing: Import) -> None:
    code, last = importing.run(saved(crashing(), tmp_path), RAW)
    assert code < 0
    assert not last.done
    assert last.failed is None


def test_a_graph_that_does_not_end_is_ended_by_its_time(tmp_path: Path, importing: Import) -> None:
    code, last = importing.run(saved(endless(), tmp_path), RAW, seconds=2)

    assert code < 0
    assert not last.done


def test_a_graph_that_wants_more_memory_than_there_is_does_not_get_it(tmp_path: Path, importing: Import) -> None:
    began = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss

    importing.run(saved(greedy(), tmp_path), RAW, memory_bytes=1 << 30, anew=True)
    # The most that any child of the tests had, in KiB.
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss <= max(began, 2 << 20)


def test_a_full_disk_is_told_by_its_number(tmp_path: Path, importing: Import, bundle: Bundle) -> None:
    def no_file_over_a_kilobyte() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))

    file = zipped(bundle.folder, tmp_path / "b.zip")
    code, last = importing.run(file, preexec_fn=no_file_over_a_kilobyte)

    assert (code, last.errno, last.done) == (0, 27, False)  # EFBIG


def test_a_sigterm_is_for_whoever_started_it(tmp_path: Path, importing: Import) -> None:
    process = importing.start(saved(endless(), tmp_path), RAW, anew=True, seconds=60)
    assert process.stdin is not None
    assert process.stdout is not None
    ignored = 1 << (signal.SIGTERM - 1)
    until = time.monotonic() + 20
    while not int(Path(f"/proc/{process.pid}/status").read_text().split("SigIgn:")[1].split()[0], 16) & ignored:
        assert time.monotonic() < until
        time.sleep(0.01)
    process.terminate()
    time.sleep(0.3)
    assert process.poll() is None
    process.stdin.close()
    assert process.wait(20) != -signal.SIGTERM
    process.stdout.close()


def test_it_ends_with_whoever_started_it(tmp_path: Path, importing: Import) -> None:
    process = importing.start(saved(endless(), tmp_path), RAW, anew=True)
    assert process.stdin is not None
    assert process.stdout is not None
    until = time.monotonic() + 20
    while os.readlink(f"/proc/{process.pid}/cwd") != str(importing.folder):  # it has read its order, and is at it
        assert time.monotonic() < until
        time.sleep(0.01)
    assert process.poll() is None
    process.stdin.close()
    assert process.wait(20) != 0
    process.stdout.close()
