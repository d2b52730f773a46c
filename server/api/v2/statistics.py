"""`/v2/…/stats`: what models have been asked and have done, as the engine measured it."""

from __future__ import annotations

from fastapi import APIRouter

from model_export.manifest import parse_reference
from server.api.deps import ModelsDep, Reference, TensorsDep
from server.api.error_answers import refusals
from server.api.v2.documents import (
    BatchStatistics,
    Duration,
    InferenceStatistics,
    ModelStatistics,
    Statistics,
)
from server.api.v2.places import Version
from server.wire.tally import Spent, Tally

router = APIRouter(prefix="/v2/models", tags=["inference protocol"])


@router.get("/stats", summary="Statistics of all models", responses=refusals(503))
async def every(tensors: TensorsDep) -> Statistics:
    """Of every version that is loaded, since it was."""
    return Statistics(model_stats=[_statistics(tally) for tally in await tensors.tallies()])


@router.get("/{name}/stats", summary="Statistics of a model", responses=refusals(404, 422, 503))
async def of_name(name: Reference, models: ModelsDep, tensors: TensorsDep) -> Statistics:
    """Of every version of it that is loaded."""
    await models.get(name)
    tallies = await tensors.tallies()
    return Statistics(
        model_stats=[_statistics(tally) for tally in tallies if name in (tally.model, parse_reference(tally.model)[0])]
    )


@router.get("/{name}/versions/{version}/stats", summary="Statistics of a version", responses=refusals(404, 422, 503))
async def of_version(reference: Version, models: ModelsDep, tensors: TensorsDep) -> Statistics:
    """None where it is not loaded."""
    return await of_name(reference, models, tensors)


def _statistics(tally: Tally) -> ModelStatistics:
    name, version = parse_reference(tally.model)
    return ModelStatistics(
        name=name,
        version=str(version),
        last_inference=round(tally.last * 1000),
        inference_count=tally.rows,
        execution_count=tally.runs,
        inference_stats=InferenceStatistics(
            success=_duration(tally.success),
            fail=_duration(tally.fail),
            queue=_duration(tally.queue),
            compute_input=_duration(tally.gather),
            compute_infer=_duration(tally.run),
            compute_output=_duration(tally.split),
        ),
        batch_stats=[
            BatchStatistics(
                batch_size=size.rows,
                compute_input=_duration(size.gather),
                compute_infer=_duration(size.run),
                compute_output=_duration(size.split),
            )
            for size in tally.sizes
        ],
    )


def _duration(spent: Spent) -> Duration:
    return Duration(count=spent.count, ns=round(spent.seconds * 1e9))
