"""What a model answered, as the protocol says it: a JSON object, and tensors in it or after it."""

from __future__ import annotations

import struct
from typing import Any

import msgspec
import numpy as np

from server.api.v2.datatypes import BYTES, DATATYPES
from server.api.v2.request import Request, Wanted
from server.domain.inference import Array, Inferred, Tensor


def encoded(inferred: Inferred, request: Request, labels: tuple[str, ...]) -> tuple[bytes, int | None]:
    """The body, and how long the JSON object at its beginning is where something follows it.

    Args:
        labels: of the model's classes.
    """
    outputs: list[dict[str, Any]] = []
    binary: list[Any] = []
    for tensor in inferred.outputs:
        wanted = request.wanted.get(tensor.name, request.otherwise)
        said, content = _output(tensor, wanted, labels)
        outputs.append(said)
        if content is not None:
            binary.append(content)
    answer: dict[str, Any] = {"model_name": inferred.name, "model_version": str(inferred.version)}
    if request.id:
        answer["id"] = request.id
    header = msgspec.json.encode({**answer, "outputs": outputs})
    any_binary = any("parameters" in said for said in outputs)
    return b"".join([header, *binary]), len(header) if any_binary else None


def _output(tensor: Tensor, wanted: Wanted, labels: tuple[str, ...]) -> tuple[dict[str, Any], Any]:
    """What is said of an output, and its bytes where they follow."""
    array = tensor.array
    if wanted.classes:
        return _classified(tensor, wanted, labels)
    said = {"name": tensor.name, "datatype": DATATYPES[array.dtype.name], "shape": list(array.shape)}
    if wanted.binary:
        return {**said, "parameters": {"binary_data_size": array.nbytes}}, array.data
    return {**said, "data": array.reshape(-1).tolist()}, None


def _classified(tensor: Tensor, wanted: Wanted, labels: tuple[str, ...]) -> tuple[dict[str, Any], Any]:
    rows = [_classes(row, wanted.classes, labels) for row in tensor.array]
    texts = [text for row in rows for text in row]
    said = {"name": tensor.name, "datatype": BYTES, "shape": [len(rows), len(rows[0])]}
    if not wanted.binary:
        return {**said, "data": texts}, None
    content = b"".join(struct.pack("<I", len(raw)) + raw for raw in (text.encode() for text in texts))
    return {**said, "parameters": {"binary_data_size": len(content)}}, content


def _classes(values: Array, count: int, labels: tuple[str, ...]) -> list[str]:
    """The classes of a row with the highest values: `value:index`, and `:label` where there is one."""
    best = np.argsort(-values.astype(np.float64), kind="stable")[:count].tolist()
    return [f"{values[index]:f}:{index}" + (f":{labels[index]}" if index < len(labels) else "") for index in best]
