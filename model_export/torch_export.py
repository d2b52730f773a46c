"""A torch module becomes a bundle that answers as it does, or is refused.

    size = FrameInput(width=112, height=112)
    draft = Draft(name="fights", task=Task.CLASSIFY, input=size, labels=("calm", "fight"), logits=True)
    export(net, draft, samples, Repository(Path("vidserve-data/models")))

torch is imported inside of functions alone, so that a server without it may import the package.
"""

from __future__ import annotations

import copy
import io
import logging
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, suppress
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from model_export import golden
from model_export.bundle import GOLDEN, MODEL, Bundle
from model_export.check import STANDARD, is_invariant
from model_export.compress import Compression, compress
from model_export.draft import Draft
from model_export.errors import ExportRefused, ModelExists
from model_export.manifest import Batch, Manifest, Task
from model_export.onnx_file import precision
from model_export.playing import U8, Array, apart, check_samples, count, golden_samples, prove
from model_export.reference import REFERENCE
from model_export.repository import Repository
from model_export.session import Session
from model_export.states import first_rows

if TYPE_CHECKING:
    from torch import Tensor, nn

_log = logging.getLogger(__name__)

_BATCH = "batch"
_GOLDEN_ROWS, _GOLDEN_FRAMES = 2, 8
_LIBRARIES = ("torch", "onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu", "numpy")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def export(
    module: nn.Module,
    draft: Draft,
    samples: U8,
    repository: Repository,
    *,
    version: int | None = None,
    validation: Iterable[U8] | None = None,
    files: Mapping[str, bytes | Path] | None = None,
    compression: Compression | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Bundle:
    """Write the next version of a model.

    Args:
        module: the net, as `Draft` describes it; a copy of it is exported, on the CPU, in single precision, as for
            evaluation.
        draft: what is said of it.
        samples: real frames, fitted: uint8 [N, H, W, 3], BGR; of a net with a window or a state clips [N, T, H, W, 3].
            The graph must answer to them as the net does, within 0.0001.
        repository: where it is written.
        version: None takes the next.
        validation: batches of more of them, to count what the model usually sees and says: `reference.json`.
        files: more of the bundle, such as the pages of a report.
        compression: variants in 8 bits or half precision that are to be in it, if they are good enough.
        say: is told what was done, a line each.

    Raises:
        ExportRefused: it cannot be exported, does not answer as its task must, or its graph answers otherwise; says
            where and by how much. Nothing is written.
        TaskDiffers: the name is another task's.
        ModelExists: that version is there already.
    """
    check_samples(samples, draft)
    repository.check_task(draft.name, draft.task)
    if version is not None and repository.folder(draft.name, version).exists():
        raise ModelExists(f"{draft.name}@{version} is there already.", hint="Take another version, or none.")
    net = _standard(module, draft)
    names = _check_answers(net, draft, samples)
    content = _graph(net, draft, samples, names)
    session = Session(content, name="the exported graph")
    prove(_runner(net, draft, names), session.run, samples, draft)
    frames = f", {samples.shape[1]} frames each" if draft.state else ""
    say(f"The graph answers as the net does: {len(samples)} samples{frames}, alone and in batches.")
    batch = Batch(invariant=is_invariant(session, apart(session.run, samples, draft)))
    say(f"Rows are {'' if batch.invariant else 'not '}bit-identical whatever shares their batch.")
    number = version or repository.next_version(draft.name)
    manifest = Manifest(
        name=draft.name,
        version=number,
        task=draft.task,
        kind="frame" if draft.window is None else "clip",
        window=draft.window,
        fps=draft.fps,
        family=draft.family,
        description=draft.description,
        input=draft.input,
        inputs=session.inputs,
        outputs=session.outputs,
        labels=draft.labels,
        multi_label=draft.multi_label,
        suppression=draft.suppression,
        thresholds=draft.thresholds,
        state=draft.state,
        batch=batch,
        precision=precision(onnx.load_model_from_string(content)),
        metrics=dict(draft.metrics),
        provenance=draft.provenance.model_copy(update={"versions": _versions() | draft.provenance.versions}),
    )
    rows = _GOLDEN_FRAMES if draft.state else _GOLDEN_ROWS
    written: dict[str, bytes | Path] = {MODEL: content, **(files or {})}
    inputs, answers = golden_samples(session.run, samples, draft, rows=rows)
    written[GOLDEN] = golden.encode(inputs, answers)
    if compression is not None:
        found = compress(content, session, draft, samples, answers, compression)
        manifest = manifest.model_copy(update={"variants": found.variants})
        written |= found.files
    if validation is not None:
        reference = count(session.run, validation, manifest)
        written[REFERENCE] = reference.to_json().encode()
        say(f"What it usually sees and says was counted over {reference.frames} frames.")
    return Bundle.write(repository.folder(draft.name, number), manifest, written)


def as_onnx(module: nn.Module, draft: Draft, samples: U8) -> bytes:
    """The ONNX file alone, as `export` makes it, but not proved: to measure what a net would cost.

    Args:
        samples: as for `export`; one will do.

    Raises:
        ExportRefused: it cannot be exported, or does not answer as its task must.
    """
    check_samples(samples, draft)
    net = _standard(module, draft)
    return _graph(net, draft, samples, _check_answers(net, draft, samples))


def _standard(module: nn.Module, draft: Draft) -> nn.Module:
    """A copy of the net that gives a tuple: the task's outputs in their order and types, then the next state."""
    import torch
    from torch import nn

    class Standard(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = copy.deepcopy(module).cpu().float().eval()

        def forward(self, frames: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
            given = self.net(frames, *state)
            answer, after = (given[0], tuple(given[1:])) if draft.state else (given, ())
            outputs = _named(answer, draft.task)
            if draft.logits:
                logits = outputs["probabilities"]
                outputs["probabilities"] = logits.sigmoid() if draft.multi_label else logits.softmax(1)
            dtypes = {name: getattr(torch, dtype) for name, (dtype, _) in STANDARD[draft.task].items()}
            ordered = [outputs[name].to(dtypes.get(name, torch.float32)) for name in outputs]
            return (*ordered, *after)

    return Standard().eval()


def _named(answer: Any, task: Task) -> dict[str, Any]:
    """A net's answer by the names of its task's outputs, in their order.

    Raises:
        ExportRefused: it is something else.
    """
    expected = STANDARD[task]
    if not isinstance(answer, Mapping) and len(expected) == 1 and hasattr(answer, "shape"):
        return {next(iter(expected)): answer}
    optional = ("heatmap",) if task == Task.ANOMALY else ()
    if not isinstance(answer, Mapping) or not set(expected) <= set(answer) <= {*expected, *optional}:
        came = sorted(answer) if isinstance(answer, Mapping) else type(answer).__name__
        raise ExportRefused(
            f"The net answers {came}; task {task} wants a mapping with {', '.join(expected)}.",
            hint="With a state, the net gives (answer, *next_state)." if isinstance(answer, tuple) else None,
        )
    return {name: answer[name] for name in (*expected, *optional) if name in answer}


def _check_answers(net: nn.Module, draft: Draft, samples: U8) -> tuple[str, ...]:
    """The names of the net's outputs, in their order.

    Raises:
        ExportRefused: it fails, or does not answer as its task must.
    """
    import torch

    frames, state = _example(draft, samples)
    try:
        with torch.no_grad():
            answer = net.net(frames, *state)  # type: ignore[operator]
            outputs = net(frames, *state)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        shapes = ", ".join(str(list(one.shape)) for one in (frames, *state))
        raise ExportRefused(f"The net fails on {shapes}: {_first_line(error)}.") from error
    names = tuple(_named(answer[0] if draft.state else answer, draft.task))
    if len(outputs) != len(names) + len(draft.state):
        raise ExportRefused(
            f"The net gives {len(outputs) - len(names)} tensors of state, and {len(draft.state)} were said.",
            hint="It must give (answer, *next_state), in the order of `state`.",
        )
    for name, value in zip(names, outputs, strict=False):
        _, axes = STANDARD[draft.task].get(name, ("float32", value.dim()))
        if value.dim() != axes or len(value) != len(frames):
            raise ExportRefused(
                f"The net answers {name!r} as {list(value.shape)} to a batch of {len(frames)}; task {draft.task} wants "
                f"{axes} axes, the batch first."
            )
    for one, value in zip(draft.state, outputs[len(names) :], strict=True):
        if tuple(value.shape) != (len(frames), *one.shape):
            raise ExportRefused(
                f"The net gives the state {one.output!r} as {list(value.shape)}; [B, {', '.join(map(str, one.shape))}] "
                "was said."
            )
    if draft.task == Task.CLASSIFY and outputs[0].shape[1] != len(draft.labels):
        raise ExportRefused(f"Classes of the net: {outputs[0].shape[1]}; labels that were given: {len(draft.labels)}.")
    return (*names, *(one.output for one in draft.state))


def _example(draft: Draft, samples: U8) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Frames of a batch of three, and states as they begin."""
    import torch

    # One or two rows would be taken for sizes that never change.
    first = np.resize(samples[:, 0] if draft.state else samples, (3, *samples.shape[2 if draft.state else 1 :]))
    state = first_rows(draft.state, 3).values()
    return torch.from_numpy(np.ascontiguousarray(first)), tuple(map(torch.from_numpy, state))


def _graph(net: nn.Module, draft: Draft, samples: U8, names: tuple[str, ...]) -> bytes:
    """The net as an ONNX file for any size of batch.

    Raises:
        ExportRefused: torch cannot export it.
    """
    import torch

    frames, state = _example(draft, samples)
    batch = torch.export.Dim(_BATCH)
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                net,
                (frames, *state),
                dynamo=True,
                verbose=False,
                input_names=[draft.input.name, *(one.input for one in draft.state)],
                output_names=list(names),
                dynamic_shapes=({0: batch}, *([tuple({0: batch} for _ in state)] if state else [])),
            )
    except Exception as error:  # torch raises classes of its own, deep and shallow ones alike
        raise ExportRefused(
            f"torch cannot export the net: {_first_line(error.__cause__ or error)}.",
            hint="Nets whose way depends on the values in a picture, or on the size of the batch, have no graph.",
        ) from error
    assert program is not None
    model = program.model_proto
    _forget_origin(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


@contextmanager
def _quiet() -> Iterator[None]:
    """torch warns of what it does itself, logs which libraries it could do more with, and prints the whole graph where
    it gives up; that goes to our log, at the level of debugging.
    """
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.fx", "torch.export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    printed = io.StringIO()
    try:
        with warnings.catch_warnings(), redirect_stderr(printed):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if printed.getvalue():
            _log.debug("torch: %s", printed.getvalue())


def _forget_origin(model: onnx.ModelProto) -> None:
    """Take out where in somebody's files each node comes from."""
    for part in (model, model.graph, *model.graph.node, *model.functions):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer):
        value.ClearField("metadata_props")
    for function in model.functions:
        for node in function.node:
            node.ClearField("doc_string")
            node.ClearField("metadata_props")


def _runner(net: nn.Module, draft: Draft, names: tuple[str, ...]) -> Callable[[Mapping[str, Array]], dict[str, Array]]:
    """The net as a session runs: arrays by name in and out."""
    import torch

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        order = [draft.input.name, *(one.input for one in draft.state)]
        with torch.no_grad():
            outputs = net(*(torch.from_numpy(np.ascontiguousarray(inputs[name])) for name in order))
        return {name: value.numpy() for name, value in zip(names, outputs, strict=True)}

    return run


def _versions() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        with suppress(PackageNotFoundError):
            found[name] = version_of(name)
    return found


def _first_line(error: BaseException) -> str:
    text = _COLOUR.sub("", str(error)).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")
