"""Golden samples: a few inputs with the outputs they must give, checked on the machine that serves. NumPy only.

The file is an `.npz` whose bytes depend on nothing but the arrays: stored, not compressed (compressors differ between
builds of zlib), sorted by name, without a date.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from model_export.agreement import ROUNDING, Array, Arrays, Tolerance, disagreement
from model_export.bundle import Bundle
from model_export.errors import BundleInvalid, GoldenMismatch
from model_export.manifest import State, Task
from model_export.states import first_rows

Run = Callable[[dict[str, Array]], Mapping[str, Array]]
"""Graph inputs → graph outputs, by name."""

USUAL = Tolerance()
_IN, _OUT = "inputs/", "outputs/"
_NO_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Golden:
    """Inputs and outputs by name, each with its batch axis.

    For a model with state whose state inputs are not among `inputs`, the rows are consecutive frames of one stream:
    the state starts at its initial value and is carried from row to row.

    Attributes:
        tolerance: what counts as the same.
    """

    inputs: dict[str, Array]
    outputs: dict[str, Array]
    tolerance: Tolerance = USUAL


def encode(inputs: Arrays, outputs: Arrays) -> bytes:
    """The file's content. The same arrays give the same bytes, anywhere."""
    buffer = io.BytesIO()
    named = {_IN + name: value for name, value in inputs.items()}
    named |= {_OUT + name: value for name, value in outputs.items()}
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(named):
            entry = zipfile.ZipInfo(f"{name}.npy", _NO_DATE)
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(named[name]), (1, 0), allow_pickle=False)
            archive.writestr(entry, content.getvalue())
    return buffer.getvalue()


def write(path: Path, inputs: Arrays, outputs: Arrays) -> None:
    """Write the file; see `Golden` for what the rows of a model with state mean."""
    path.write_bytes(encode(inputs, outputs))


def read(path: Path) -> Golden:
    """Read a file.

    Raises:
        BundleInvalid: it is absent, or holds something else.
    """
    inputs: dict[str, Array] = {}
    outputs: dict[str, Array] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.namelist():
                key = entry.removesuffix(".npy")
                side = inputs if key.startswith(_IN) else outputs if key.startswith(_OUT) else None
                if side is None:
                    raise BundleInvalid(f"{path.name} holds {key!r}, which is no input and no output.")
                with archive.open(entry) as content:
                    side[key.split("/", 1)[1]] = np.lib.format.read_array(content, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise BundleInvalid(f"{path.name} cannot be read as golden samples: {error}.") from error
    if not inputs or not outputs:
        raise BundleInvalid(f"{path.name} holds no samples.")
    return Golden(inputs, outputs)


def of(bundle: Bundle) -> Golden | None:
    """What the graph that is meant by a bundle must answer; None where the bundle has no samples.

    The samples are the model's own. A variant may be as far from them as it was when it was made, and a half more; its
    states are not compared, as what they come to is.

    Raises:
        BundleInvalid: the file is absent, holds something else, or answers that are no numbers.
    """
    if bundle.golden is None:
        return None
    samples, manifest = read(bundle.golden), bundle.manifest
    # What comes to tensors of any meaning, tried with any numbers, may well be NaN.
    if manifest.task is not Task.TENSOR and any(np.isnan(value).any() for value in samples.outputs.values()):
        raise BundleInvalid(
            f"{manifest.id} answers its golden samples with NaN.", hint="Mend the net, export it again."
        )
    if bundle.variant is None:
        return replace(samples, tolerance=ROUNDING[manifest.precision])
    carried = {state.output for state in manifest.state}
    outputs = {name: value for name, value in samples.outputs.items() if name not in carried}
    return Golden(samples.inputs, outputs, Tolerance(absolute=manifest.variants[bundle.variant].tolerance, relative=0))


def check(golden: Golden, run: Run, *, state: Sequence[State] = ()) -> None:
    """Run the samples and compare.

    Args:
        golden: the samples.
        run: the session at hand.
        state: the manifest's.

    Raises:
        GoldenMismatch: an output differs; says which, and by how much.
    """
    carried = [one for one in state if one.input not in golden.inputs]
    answer = _run_steps(golden, run, carried) if carried else run(dict(golden.inputs))
    found = disagreement(golden.outputs, answer, golden.tolerance)
    if found is not None:
        raise GoldenMismatch(
            f"The model does not give its golden answers here: {found}.",
            hint="Import it again; if it agrees on another machine, the provider in use computes differently.",
        )


def _run_steps(golden: Golden, run: Run, carried: Sequence[State]) -> dict[str, Array]:
    """The outputs of all steps, one below the other; a state output that is asked for is the last step's."""
    steps = len(next(iter(golden.inputs.values())))
    rows = first_rows(carried, 1)
    answers: list[Mapping[str, Array]] = []
    for step in range(steps):
        answer = run({name: value[step : step + 1] for name, value in golden.inputs.items()} | rows)
        answers.append(answer)
        rows = {one.input: np.asarray(answer[one.output]) for one in carried}
    last = {one.output for one in carried}
    return {
        name: answers[-1][name] if name in last else np.concatenate([answer[name] for answer in answers])
        for name in golden.outputs
        if name in answers[-1]
    }
