"""Health and metrics, for probes and Prometheus."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from server.api import examples
from server.api import known_problems as known
from server.api.deps import RuntimeDep
from server.api.error_answers import problems
from server.api.errors import RETRY, Problem, problem, problem_value
from server.api.openapi import answered
from server.domain.health import Health

router = APIRouter(tags=["health"])

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Live(BaseModel):
    """The process answers."""

    status: str = Field(default="live", examples=["live"])


class NotReady(Health, Problem):
    """A problem, with the health that it is about."""


@router.get("/health/live", summary="Is the process alive?", response_description="It is.")
@router.get("/livez", include_in_schema=False)
async def live() -> Live:
    """Answers as long as the server answers at all. Restart it when this fails, not when it is not ready."""
    return Live()


@router.get(
    "/health/ready",
    response_model=Health,
    summary="Can it do its work?",
    responses={
        200: answered("It can.", examples.READY),
        **problems(known.NOT_READY),
    },
)
@router.get("/readyz", include_in_schema=False)
async def ready(runtime: RuntimeDep) -> Response:
    """Ready when the models asked for are loaded and warm. A camera never makes a server unready."""
    health = runtime.health()
    if health.ready:
        return Response(health.model_dump_json(), media_type="application/json")
    said = problem_value(503, "not_ready", "; ".join(health.problems) or "The server is starting.")
    return problem(NotReady(**dict(said), **dict(health)), headers=RETRY)


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    responses={200: {"description": "Prometheus' text format.", "content": {"text/plain": {}}}},
    response_class=Response,
)
async def metrics(runtime: RuntimeDep) -> Response:
    """Everything the server counts; see the documentation for the list."""
    return Response(await asyncio.to_thread(runtime.metrics.scrape), media_type=_METRICS_TYPE)
