"""`/v2`, the Open Inference Protocol: what the server is, what models take, and inference."""

from __future__ import annotations

import asyncio
import time
from importlib import metadata
from typing import Any

from fastapi import APIRouter, Request, Response

from server.api.deps import ModelsDep, Reference, RuntimeDep, TensorsDep
from server.api.error_answers import refusals
from server.api.ports import Models, Tensors
from server.api.v2 import request as requests
from server.api.v2.arrival import read_body
from server.api.v2.datatypes import DATATYPES
from server.api.v2.documents import (
    LENGTH,
    REQUEST,
    RESPONSE,
    InferenceRequest,
    InferenceResponse,
    Live,
    ModelConfig,
    ModelMetadata,
    Ready,
    ServerMetadata,
    TensorConfig,
    TensorMetadata,
    config_type,
)
from server.api.v2.places import Version
from server.api.v2.request import HEADER, shown
from server.api.v2.response import encoded
from server.core.errors import ModelUnavailable
from server.domain.inference import Inferred
from server.domain.model import ModelState

router = APIRouter(prefix="/v2", tags=["inference protocol"])
MODELS = (InferenceRequest, InferenceResponse)
"""Objects of the protocol that no route declares."""

EXTENSIONS = [
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "schedule_policy",
    "sequence",
    "statistics",
]
_INLINE_JSON = 32 * 1024
_INLINE_BINARY = 512 * 1024
"""Bytes that are read and written on the event loop; more go to a thread."""


@router.get("", summary="What the server is")
async def server() -> ServerMetadata:
    """Its name, its version, and what it has beyond the protocol."""
    return ServerMetadata(name="vidserve", version=metadata.version("vidserve"), extensions=EXTENSIONS)


@router.get("/health/live", summary="Is the process alive?")
async def live() -> Live:
    """As `/health/live`."""
    return Live()


@router.get("/health/ready", summary="Can it do its work?", responses=refusals(503))
async def ready(runtime: RuntimeDep) -> Ready:
    """As `/health/ready`."""
    health = runtime.health()
    if not health.ready:
        raise ModelUnavailable(" ".join(health.problems) or "The server is starting.")
    return Ready()


@router.get("/models/{name}", summary="What a model takes and answers", responses=refusals(404, 422))
async def model(name: Reference, models: ModelsDep, tensors: TensorsDep) -> ModelMetadata:
    """Names, datatypes and shapes of its tensors."""
    return await _metadata(name, models, tensors)


@router.get("/models/{name}/versions/{version}", summary="The same of a version", responses=refusals(404, 422))
async def model_version(reference: Version, models: ModelsDep, tensors: TensorsDep) -> ModelMetadata:
    """Names, datatypes and shapes of its tensors."""
    return await _metadata(reference, models, tensors)


@router.get("/models/{name}/ready", summary="Does a model serve?", responses=refusals(404, 422, 503))
async def model_ready(name: Reference, models: ModelsDep) -> Ready:
    """Whether it is loaded and warm. One that is not is loaded when it is asked, or by hand."""
    return await _ready(name, models)


@router.get(
    "/models/{name}/versions/{version}/ready", summary="Does a version serve?", responses=refusals(404, 422, 503)
)
async def version_ready(reference: Version, models: ModelsDep) -> Ready:
    """Whether it is loaded and warm."""
    return await _ready(reference, models)


@router.get("/models/{name}/config", summary="How a model is served", responses=refusals(404, 422))
async def config(name: Reference, models: ModelsDep, tensors: TensorsDep) -> ModelConfig:
    """As much of a Triton configuration as clients look at."""
    return await _config(name, models, tensors)


@router.get("/models/{name}/versions/{version}/config", summary="How a version is served", responses=refusals(404, 422))
async def version_config(reference: Version, models: ModelsDep, tensors: TensorsDep) -> ModelConfig:
    """As much of a Triton configuration as clients look at."""
    return await _config(reference, models, tensors)


_INFER: dict[str, Any] = {
    "response_class": Response,
    "responses": {200: RESPONSE, **refusals(400, 404, 408, 413, 415, 422, 429, 503, 504)},
    "openapi_extra": {"requestBody": REQUEST, "parameters": [LENGTH]},
}


@router.post("/models/{name}/infer", summary="Ask a model", **_INFER)
async def infer(request: Request, name: Reference, tensors: TensorsDep) -> Response:
    """Tensors in, tensors out, as JSON or binary; through the same engine and batcher as everything else.

    Rows of the first axis share runs with those of other requests where they do not depend on each other. A model that
    is not loaded is loaded first.
    """
    return await _infer(request, name, tensors)


@router.post("/models/{name}/versions/{version}/infer", summary="Ask a version", **_INFER)
async def version_infer(request: Request, reference: Version, tensors: TensorsDep) -> Response:
    """The same, of this very version."""
    return await _infer(request, reference, tensors)


async def _infer(request: Request, reference: str, tensors: Tensors) -> Response:
    arrived = time.monotonic()
    with tensors.arrivals.one() as arrival:
        model = await tensors.describe(reference)
        body = await read_body(request, arrival, limit=tensors.request_bytes)
        length = requests.header_length(request.headers.get(HEADER), body)
        if length <= _INLINE_JSON:
            asked = requests.read(body, length, model, arrived)
        else:
            asked = await asyncio.to_thread(requests.read, body, length, model, arrived)
        inferred = await tensors.infer(reference, asked.inference)
        if _bytes(inferred) <= (_INLINE_BINARY if asked.binary else _INLINE_JSON):
            content, header = encoded(inferred, asked, model.labels)
        else:
            content, header = await asyncio.to_thread(encoded, inferred, asked, model.labels)
    if header is None:
        return Response(content, media_type="application/json")
    return Response(content, headers={HEADER: str(header)}, media_type="application/octet-stream")


def _bytes(inferred: Inferred) -> int:
    return sum(one.array.nbytes for one in inferred.outputs)


async def _metadata(reference: str, models: Models, tensors: Tensors) -> ModelMetadata:
    status, model = await models.get(reference), await tensors.describe(reference)
    versions = [status.version] if "@" in reference else status.versions
    return ModelMetadata(
        name=model.name,
        versions=[str(version) for version in versions],
        inputs=[TensorMetadata(name=s.name, datatype=DATATYPES[s.dtype], shape=shown(s)) for s in model.inputs],
        outputs=[TensorMetadata(name=s.name, datatype=DATATYPES[s.dtype], shape=shown(s)) for s in model.outputs],
    )


async def _ready(reference: str, models: Models) -> Ready:
    status = await models.get(reference)
    if status.state is not ModelState.READY:
        why = status.error.message if status.error is not None else f"It is {status.state}."
        raise ModelUnavailable(
            f"{status.id} does not serve: {why}", hint=f"POST /v2/repository/models/{status.name}/load loads it."
        )
    return Ready()


async def _config(reference: str, models: Models, tensors: Tensors) -> ModelConfig:
    status, model = await models.get(reference), await tensors.describe(reference)
    first = 1 if model.batches else 0
    return ModelConfig(
        name=model.name,
        max_batch_size=(status.max_batch or 1) if model.batches else 0,
        input=[TensorConfig(name=s.name, data_type=config_type(s.dtype), dims=shown(s)[first:]) for s in model.inputs],
        output=[
            TensorConfig(name=s.name, data_type=config_type(s.dtype), dims=shown(s)[first:]) for s in model.outputs
        ],
        sequence_batching={} if model.recurrent else None,
    )
