"""What is learnt from, in a line for who trains."""

from __future__ import annotations

from training.data.loading import DataDescription

_SHOWN = 12
_PARTS = {"train": "train", "val": "validate", "test": "test"}
_SETS = {"class": "in {} class{es}", "multi_label": "with {} label{s}", "numbers": "with {} number{s} each"}


def summary(data: DataDescription) -> str:
    """Samples, labels and parts; and the labels that have no sample."""
    noun = "clips" if data.input.frames > 1 else "pictures"
    parts = ", ".join(f"{data.samples[name]} to {verb}" for name, verb in _PARTS.items() if name in data.samples)
    broken = f", {data.broken} broken" if data.broken else ""
    several = len(data.labels) > 1
    kind = _SETS[data.kind].format(len(data.labels), s="s" * several, es="es" * several)
    whole = f"{sum(data.samples.values()) + data.broken} {noun} {kind} ({_labels(data)}): {parts}{broken}."
    none = [label for label in data.labels if not data.counts[label]]
    folded = [label.casefold() for label in data.labels]
    alike = [label for label, fold in zip(data.labels, folded, strict=True) if folded.count(fold) > 1]
    return (
        whole
        + (f" There is no sample of {_listed(none)}." if none else "")
        + (f" In case alone differ {_listed(alike)}." if alike else "")
    )


def _labels(data: DataDescription) -> str:
    if data.kind == "numbers":
        return _listed(data.labels)
    return _listed([f"{label} {data.counts[label]}" for label in data.labels])


def _listed(names: list[str] | tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
