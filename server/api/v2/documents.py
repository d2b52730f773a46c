"""The protocol's objects, for the OpenAPI document and for what is not answered at speed."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from server.api.references import reference
from server.api.v2.datatypes import BYTES, DTYPES
from server.api.v2.request import HEADER

Datatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES"
]
Scalar = bool | int | float | str


class ServerMetadata(BaseModel):
    """The server and what it has beyond the protocol."""

    name: str
    version: str
    extensions: list[str]


class Live(BaseModel):
    """The process answers."""

    live: bool = True


class Ready(BaseModel):
    """It can be asked."""

    ready: bool = True


class TensorMetadata(BaseModel):
    """An input or an output; -1 in `shape` where a size is free."""

    name: str
    datatype: Datatype
    shape: list[int]


class ModelMetadata(BaseModel):
    """What a model takes and answers. The state of a recurrent model is the server's, and not among them."""

    name: str
    versions: list[str]
    platform: str = "onnxruntime_onnx"
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class TensorConfig(BaseModel):
    """An input or an output without its batch axis, where `max_batch_size` is not 0."""

    name: str
    data_type: str = Field(examples=["TYPE_FP32"])
    dims: list[int]


class ModelConfig(BaseModel):
    """As much of a Triton configuration as clients look at."""

    name: str
    platform: str = "onnxruntime_onnx"
    backend: str = "onnxruntime"
    max_batch_size: int = Field(
        description="0 where a request is a run of its own; else larger requests than this are divided"
    )
    input: list[TensorConfig]
    output: list[TensorConfig]
    sequence_batching: dict[str, Any] | None = Field(default=None, description="of recurrent models")


class ModelIndex(BaseModel):
    """A version of a model in the repository."""

    name: str
    version: str
    state: Literal["READY", "LOADING", "UNAVAILABLE"]
    reason: str = ""


class Duration(BaseModel):
    """How often, and nanoseconds in all."""

    count: int
    ns: int


class InferenceStatistics(BaseModel):
    """Of requests: waiting, putting the inputs together, running, taking the outputs apart; from arrival to answer."""

    success: Duration
    fail: Duration
    queue: Duration
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration


class BatchStatistics(BaseModel):
    """The runs of one size of batch, padding left out."""

    batch_size: int
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration


class ModelStatistics(BaseModel):
    """Of everything that ran on a version since it was loaded, frames of jobs included."""

    name: str
    version: str
    last_inference: int = Field(description="milliseconds since 1970; 0 before the first")
    inference_count: int = Field(description="rows that were answered")
    execution_count: int = Field(description="runs")
    inference_stats: InferenceStatistics
    batch_stats: list[BatchStatistics]


class Statistics(BaseModel):
    """A version each that is loaded."""

    model_stats: list[ModelStatistics]


class InputTensor(BaseModel):
    """`data` is flat, or nested as the shape is; a binary tensor says `binary_data_size` instead, and follows."""

    name: str = Field(max_length=256)
    shape: list[int] = Field(max_length=16, examples=[[1, 3, 224, 224]])
    datatype: Datatype
    parameters: dict[str, Any] = {}
    data: list[Any] | None = None


class RequestedOutput(BaseModel):
    """Parameters: `binary_data` (true or false) and `classification` (so many classes with the highest values)."""

    name: str = Field(max_length=256)
    parameters: dict[str, Any] = {}


class InferenceRequest(BaseModel):
    """Parameters: `sequence_id`, `sequence_start`, `sequence_end`, `priority` (1 goes before jobs), `timeout` (µs),
    `binary_data_output`.
    """

    id: str = Field(default="", max_length=256)
    parameters: dict[str, Any] = {}
    inputs: list[InputTensor] = Field(min_length=1, max_length=256)
    outputs: list[RequestedOutput] = Field(default=[], max_length=256)


class OutputTensor(BaseModel):
    """`data` is flat; NaN and infinite numbers, which JSON lacks, are null in it."""

    name: str
    datatype: Datatype
    shape: list[int]
    parameters: dict[str, Any] | None = None
    data: list[Any] | None = None


class InferenceResponse(BaseModel):
    """What a model answered; `id` is the request's."""

    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[OutputTensor]


_BINARY = {"schema": {"type": "string", "format": "binary"}}
REQUEST: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": reference("InferenceRequest"),
            "example": {
                "id": "42",
                "inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [0.1, 0.2, 0.3, 0.4]}],
            },
        },
        "application/octet-stream": _BINARY,
    },
}
RESPONSE: dict[str, Any] = {
    "description": "What it answered.",
    "headers": {
        HEADER: {
            "description": "bytes of the JSON object, where binary tensors follow it",
            "schema": {"type": "string"},
        }
    },
    "content": {"application/json": {"schema": reference("InferenceResponse")}, "application/octet-stream": _BINARY},
}
LENGTH: dict[str, Any] = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "bytes of the JSON object at the beginning of the body; binary tensors follow it",
    "schema": {"type": "string", "pattern": "^[0-9]{1,10}$"},
}


def config_type(dtype: str) -> str:
    """How a Triton configuration calls a type of NumPy's."""
    name = next(datatype for datatype, known in DTYPES.items() if known == dtype)
    return f"TYPE_{'STRING' if name == BYTES else name}"
