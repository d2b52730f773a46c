"""What a request for an inference says: a JSON object, and tensors in it or after it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import numpy as np

from model_export.manifest import TensorSpec
from server.api.v2.datatypes import DATATYPES, DTYPES
from server.core.errors import BodyInvalid, TensorInvalid, UploadTooLarge
from server.domain.inference import Array, Inference, Step, Tensor, TensorModel

HEADER = "Inference-Header-Content-Length"

_JSON_BYTES = 16 * 1024 * 1024
_MOST_TENSORS, _MOST_AXES, _MOST_LETTERS = 256, 16, 256
_MOST_SEQUENCE = _MOST_NUMBER = 2**64 - 1
_LENGTH = re.compile(r"[0-9]{1,20}")
_SHOWN = 100

_Text = Annotated[str, msgspec.Meta(max_length=_MOST_LETTERS)]
_Parameters = dict[str, Any]


class _Input(msgspec.Struct):
    name: _Text
    shape: Annotated[list[Annotated[int, msgspec.Meta(ge=0, le=2**31)]], msgspec.Meta(max_length=_MOST_AXES)]
    datatype: _Text
    parameters: _Parameters = {}
    data: msgspec.Raw = msgspec.Raw(b"")


class _Output(msgspec.Struct):
    name: _Text
    parameters: _Parameters = {}


class _Asked(msgspec.Struct):
    inputs: Annotated[list[_Input], msgspec.Meta(min_length=1, max_length=_MOST_TENSORS)]
    id: _Text = ""
    parameters: _Parameters = {}
    outputs: Annotated[list[_Output], msgspec.Meta(max_length=_MOST_TENSORS)] = []


_requests = msgspec.json.Decoder(_Asked)


@dataclass(frozen=True)
class Wanted:
    """How an output is to be answered.

    Attributes:
        binary: after the JSON object and not in it.
        classes: as so many classes with the highest values, where it is not 0.
    """

    binary: bool = False
    classes: int = 0


@dataclass(frozen=True, eq=False)
class Request:
    """
    Attributes:
        id: the client's own; empty: none.
        wanted: by output, for those that are named.
        otherwise: for the others.
    """

    id: str
    inference: Inference
    wanted: Mapping[str, Wanted]
    otherwise: Wanted

    @property
    def binary(self) -> bool:
        """Whether no output is answered as JSON, which takes longer."""
        return all(one.binary for one in self.wanted.values()) if self.wanted else self.otherwise.binary


def header_length(value: str | None, body: bytes | bytearray) -> int:
    """Bytes of the JSON object at the beginning of a body, which is all of it unless a header says otherwise.

    Raises:
        BodyInvalid: the header lies.
        UploadTooLarge: it is more JSON than is read.
    """
    length = len(body) if value is None else int(value) if _LENGTH.fullmatch(value) else -1
    if not 0 <= length <= len(body):
        raise BodyInvalid(f"{HEADER} is {value and value[:_SHOWN]}, and the body has {len(body)} bytes.")
    if length > _JSON_BYTES:
        raise UploadTooLarge(
            f"{length} bytes are more JSON than the {_JSON_BYTES} that are read.", hint="Send tensors as binary data."
        )
    return length


def read(body: bytes | bytearray, length: int, model: TensorModel, arrived: float) -> Request:
    """A request, checked against what the model takes.

    Args:
        length: of the JSON object; what follows are tensors.
        arrived: when, in CLOCK_MONOTONIC seconds.

    Raises:
        BodyInvalid: it is not an object of the protocol.
        TensorInvalid: a tensor is not what it says, or not what the model takes; or a parameter is not one.
    """
    content = memoryview(body)
    try:
        asked = _requests.decode(content[:length])
    except msgspec.ValidationError as error:
        raise BodyInvalid(f"The request is not one of the protocol: {error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BodyInvalid(
            f"The request is not JSON: {error}.", hint=f"With binary tensors, {HEADER} says how long the JSON is."
        ) from error
    inputs = _inputs(asked.inputs, content[length:], model)
    everything = Wanted(_flag(asked.parameters, "binary_data_output"))
    wanted = _outputs(asked.outputs, everything, model)
    timeout_us = _number(asked.parameters, "timeout")
    inference = Inference(
        inputs=inputs,
        outputs=tuple(wanted),
        step=_step(asked.parameters),
        urgent=_number(asked.parameters, "priority") == 1,
        deadline=arrived + timeout_us / 1e6 if timeout_us else None,
    )
    return Request(asked.id, inference, wanted, everything)


def _inputs(asked: list[_Input], binary: memoryview, model: TensorModel) -> list[Tensor]:
    specs = {spec.name: spec for spec in model.inputs}
    found: dict[str, Tensor] = {}
    at = 0
    for one in asked:
        spec = specs.get(one.name)
        if spec is None or one.name in found:
            raise TensorInvalid(
                f"Input {one.name!r} is there twice." if spec else f"{model.name} has no input {one.name!r}.",
                hint=f"It takes {_described(model.inputs)}.",
            )
        _check(one, spec)
        size = _number(one.parameters, "binary_data_size", default=-1)
        if size >= 0 and one.data:
            raise TensorInvalid(f"Input {one.name!r} has `data`, and binary data too.")
        if size >= 0:
            found[one.name] = Tensor(one.name, _from_binary(one, binary[at:], size))
            at += size
        else:
            found[one.name] = Tensor(one.name, _from_json(one))
    missing = [name for name in specs if name not in found]
    if missing:
        raise TensorInvalid(
            f"{model.name} wants the input {missing[0]!r} too.", hint=f"It takes {_described(model.inputs)}."
        )
    if at != len(binary):
        raise TensorInvalid(f"{len(binary) - at} bytes follow that no input's binary_data_size counts.")
    rows = {len(one.array) for one in found.values()} if model.batches else {1}
    if len(rows) > 1:
        raise TensorInvalid(f"The inputs have {' and '.join(map(str, sorted(rows)))} rows; they must have as many.")
    if model.recurrent and model.batches and rows != {1}:
        raise TensorInvalid(f"{model.name} takes one frame of a sequence at a time.", hint="Send a batch of one.")
    return [found[name] for name in specs]


def _check(one: _Input, spec: TensorSpec) -> None:
    if "shared_memory_region" in one.parameters:
        raise TensorInvalid("The shared-memory extension is not there.", hint="Send tensors as binary data.")
    if DTYPES.get(one.datatype) != spec.dtype:
        raise TensorInvalid(f"Input {one.name!r} is {one.datatype}, and must be {DATATYPES[spec.dtype]}.")
    shape = one.shape
    fits = len(shape) == len(spec.shape) and all(
        size in (None, given) for size, given in zip(spec.shape, shape, strict=True)
    )
    if not fits:
        raise TensorInvalid(f"Input {one.name!r} has the shape {shape}, and must have {shown(spec)}.")
    if math.prod(shape) == 0:
        raise TensorInvalid(f"Input {one.name!r} has the shape {shape}: nothing is in it.")


def _from_binary(one: _Input, binary: memoryview, size: int) -> Array:
    dtype = np.dtype(DTYPES[one.datatype])
    expected = math.prod(one.shape) * dtype.itemsize
    if size != expected:
        raise TensorInvalid(
            f"Input {one.name!r} of {one.shape} {one.datatype} has {expected} bytes, and binary_data_size says {size}."
        )
    if size > len(binary):
        raise TensorInvalid(f"The body ends {size - len(binary)} bytes before the end of input {one.name!r}.")
    array = np.frombuffer(binary, dtype, math.prod(one.shape)).reshape(one.shape)
    if dtype.kind == "b" and array.view(np.uint8).max() > 1:
        raise TensorInvalid(f"Input {one.name!r} is BOOL, and a byte of it is neither 0 nor 1.")
    return array


def _from_json(one: _Input) -> Array:
    """`data`, flat or nested as the shape is; exact, so 1.5 is no integer and 300 no UINT8."""
    data = bytes(one.data).lstrip()
    if not data.startswith(b"["):
        raise TensorInvalid(f"Input {one.name!r} has no `data`, and no binary data either.")
    count = math.prod(one.shape)
    if data.count(b",") >= count + 1:  # before a list of them is made
        raise TensorInvalid(f"`data` of input {one.name!r} has more than the {count} values of {one.shape}.")
    depth = next((at for at, letter in enumerate(data) if letter not in b"[ \t\r\n"), len(data))
    depth = data[:depth].count(b"[")
    if depth not in (1, len(one.shape)):
        raise TensorInvalid(f"`data` of input {one.name!r} is nested {depth} deep; it is flat, or as {one.shape}.")
    dtype = np.dtype(DTYPES[one.datatype])
    kind: Any = {"b": bool, "f": float}.get(dtype.kind, int)
    for _ in range(depth):
        kind = list[kind]
    try:
        with np.errstate(over="raise"):
            array = np.array(msgspec.json.decode(data, type=kind), dtype)
    except (msgspec.MsgspecError, ValueError, OverflowError, FloatingPointError) as error:
        raise TensorInvalid(f"`data` of input {one.name!r} is not {one.datatype} of {one.shape}: {error}.") from error
    if array.shape != tuple(one.shape) and array.shape != (count,):
        raise TensorInvalid(f"`data` of input {one.name!r} has the shape {list(array.shape)}, and not {one.shape}.")
    return array.reshape(one.shape)


def _outputs(asked: list[_Output], everything: Wanted, model: TensorModel) -> dict[str, Wanted]:
    known = {spec.name: spec for spec in model.outputs}
    wanted: dict[str, Wanted] = {}
    for one in asked:
        if one.name not in known or one.name in wanted:
            raise TensorInvalid(
                f"Output {one.name!r} is there twice."
                if one.name in known
                else f"{model.name} has no output {one.name!r}.",
                hint=f"It answers {_described(model.outputs)}.",
            )
        if "shared_memory_region" in one.parameters:
            raise TensorInvalid("The shared-memory extension is not there.", hint="Ask for binary data.")
        classes = _number(one.parameters, "classification")
        if classes and not (model.batches and len(known[one.name].shape) == 2):
            raise TensorInvalid(f"Output {one.name!r} has no classes: it is not [rows, values].")
        wanted[one.name] = Wanted(_flag(one.parameters, "binary_data", default=everything.binary), classes)
    return wanted


def _step(parameters: _Parameters) -> Step | None:
    id = parameters.get("sequence_id", 0)
    whole = isinstance(id, int) and not isinstance(id, bool) and 0 <= id <= _MOST_SEQUENCE
    if not whole and not (isinstance(id, str) and len(id) <= _MOST_LETTERS):
        raise TensorInvalid("sequence_id is a whole number of 64 bits, or a text of at most 256 letters.")
    if not id:
        return None
    return Step(id, start=_flag(parameters, "sequence_start"), end=_flag(parameters, "sequence_end"))


def _flag(parameters: _Parameters, name: str, *, default: bool = False) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise TensorInvalid(f"The parameter {name} is true or false.")
    return value


def _number(parameters: _Parameters, name: str, *, default: int = 0) -> int:
    value = parameters.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool):
        raise TensorInvalid(f"The parameter {name} is a whole number.")
    if name in parameters and not 0 <= value <= _MOST_NUMBER:
        raise TensorInvalid(f"The parameter {name} is 0 or more, and has 64 bits.")
    return value


def _described(specs: tuple[TensorSpec, ...]) -> str:
    return ", ".join(f"{spec.name!r} {DATATYPES[spec.dtype]} {shown(spec)}" for spec in specs)


def shown(spec: TensorSpec) -> list[int]:
    """A shape as the protocol says it: -1 where a size is free."""
    return [-1 if size is None else size for size in spec.shape]
