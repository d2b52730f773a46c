"""Samples played to a net or to its graph, as the server does it: frames, clips, or frame by frame with a state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from model_export.agreement import Arrays, Tolerance, disagreement
from model_export.draft import Draft
from model_export.errors import ExportRefused
from model_export.manifest import Manifest, State
from model_export.reference import Reference, Tally
from model_export.states import first_rows

Array = npt.NDArray[Any]
U8 = npt.NDArray[np.uint8]
Run = Callable[[Mapping[str, Array]], Mapping[str, Array]]
"""Inputs by name → outputs by name, each with its batch axis."""

PARITY = Tolerance(absolute=1e-4, relative=1e-6, share=0.0)
"""What a graph may differ from its net; the relative part is for boxes, which are hundreds of pixels."""
_SIZES = (1, 3)


def play(run: Run, samples: U8, input: str, state: Sequence[State]) -> list[dict[str, Array]]:
    """The answers to samples that share a batch, state outputs included: one for every frame of a model with state,
    else one.

    Args:
        samples: uint8 [B, H, W, 3] or [B, T, H, W, 3].
        input: the name of the input that takes them.
    """
    if not state:
        return [dict(run({input: samples}))]
    rows = first_rows(state, len(samples))
    answers = []
    for step in range(samples.shape[1]):
        answers.append(dict(run({input: np.ascontiguousarray(samples[:, step]), **rows})))
        rows = {one.input: answers[-1][one.output] for one in state}
    return answers


def check_samples(samples: U8, draft: Draft) -> None:
    """
    Raises:
        ExportRefused: they are not what the net takes; says what came and what is needed.
    """
    axes = 4 if draft.window is None and not draft.state else 5
    wanted = (draft.input.height, draft.input.width, 3)
    fits = samples.ndim == axes and len(samples) > 0 and samples.shape[-3:] == wanted and samples.dtype == np.uint8
    if fits and (draft.window is None or samples.shape[1] == draft.window):
        return
    sizes = f"H {wanted[0]}, W {wanted[1]}" + (f", T {draft.window}" if draft.window else "")
    raise ExportRefused(
        f"Samples are {samples.dtype} {list(samples.shape)}; this net takes uint8 {draft.sample_axes} with {sizes}.",
        hint="Fit frames with model_export.geometry.fit, as the server does.",
    )


def prove(net: Run, graph: Run, samples: U8, draft: Draft) -> None:
    """See that the graph answers as the net does, alone and in a batch, at every frame.

    Raises:
        ExportRefused: it does not, or what the net answers is no number; says which output, where, and by how much.
    """
    samples = np.resize(samples, (max(len(samples), *_SIZES), *samples.shape[1:]))
    expected = play(net, samples, draft.input.name, draft.state)
    _see_numbers(expected, draft)
    for size in _SIZES:
        for start in range(0, len(samples) - size + 1, size):
            answers = play(graph, samples[start : start + size], draft.input.name, draft.state)
            for step, (wanted, answer) in enumerate(zip(expected, answers, strict=True)):
                rows = {name: value[start : start + size] for name, value in wanted.items()}
                found = disagreement(rows, answer, PARITY)
                if found is not None:
                    at = f", at frame {step} of {len(expected)}" if draft.state else ""
                    raise ExportRefused(
                        f"In a batch of {size}{at} the graph does not answer as the net does: {found}. At most "
                        f"{PARITY.absolute:g} is allowed.",
                        hint="No bundle was written. A net whose answers depend on chance, on the batch or on what "
                        "came before cannot be served.",
                    )


def _see_numbers(answers: Sequence[Arrays], draft: Draft) -> None:
    carried = {one.output for one in draft.state}
    for step, answer in enumerate(answers):
        for name, value in answer.items():
            finite = np.isfinite(value).reshape(len(value), -1).all(axis=1)
            if name not in carried and not finite.all():
                at = f", frame {step}" if draft.state else ""
                raise ExportRefused(
                    f"The net's answer is not a number for sample {int(np.argmin(finite))}{at}: {name!r} has NaN or "
                    "infinity in it. Nothing was written.",
                    hint="Look for weights that are no numbers, and for logarithms, roots and divisions by zero.",
                )


def apart(run: Run, samples: U8, draft: Draft) -> dict[str, Array]:
    """Rows of different streams, to be mixed: with a state, each stream's last frame and what came before it."""
    name = draft.input.name
    if not draft.state:
        return {name: samples}
    rows = first_rows(draft.state, len(samples))
    if samples.shape[1] > 1:
        last = play(run, samples[:, :-1], name, draft.state)[-1]
        rows = {one.input: last[one.output] for one in draft.state}
    return {name: np.ascontiguousarray(samples[:, -1]), **rows}


def golden_samples(graph: Run, samples: U8, draft: Draft, *, rows: int) -> tuple[Arrays, Arrays]:
    """Inputs and outputs for `golden.encode`: consecutive frames of one stream where there is a state, else rows."""
    name = draft.input.name
    if not draft.state:
        inputs = {name: samples[:rows]}
        return inputs, graph(inputs)
    frames = samples[0, :rows]
    answers = play(graph, frames[None], name, draft.state)
    carried = {one.output for one in draft.state}
    # Of a state only the last is compared.
    outputs = {
        key: answers[-1][key] if key in carried else np.concatenate([answer[key] for answer in answers])
        for key in answers[0]
    }
    return {name: frames}, outputs


def count(graph: Run, batches: Iterable[U8], manifest: Manifest) -> Reference:
    """Reference statistics over validation data.

    Args:
        batches: of samples, as `play` takes them.
    """
    tally = Tally(manifest)
    assert manifest.input is not None
    for samples in batches:
        answers = play(graph, samples, manifest.input.name, manifest.state)
        for step, answer in enumerate(answers):
            frames = samples[:, step] if manifest.state else samples[:, -1] if manifest.window else samples
            for row, frame in enumerate(frames):
                tally.see(frame, {name: value[row] for name, value in answer.items()})
    return tally.reference()
