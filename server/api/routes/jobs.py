"""Jobs: a video in, what it shows out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from server.api import examples
from server.api import known_problems as known
from server.api.deps import IntakeDep, JobId, JobsDep, KeyDep
from server.api.error_answers import invalid, problems
from server.api.job_request import BODY, read_json, read_upload
from server.api.multipart import FORM, media_type
from server.api.openapi import REPLAYED, answered, key_parameter, location
from server.api.pages import CURSOR, Page, PageQuery
from server.core.errors import ContentTypeUnsupported
from server.domain.job import Job, JobState
from server.storage.jobs import CURSOR_PATTERN

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

_WAIT_TOO_LONG = invalid("wait: Input should be less than or equal to 60.")
_KEY_PARAMETER = key_parameter(
    "Any text of yours, say a UUID. A second call with the same key, video and analysis gives the first one's job, for "
    "as long as that is kept; with another video or analysis it is refused (409)."
)


class JobsQuery(PageQuery):
    """Which jobs."""

    cursor: Annotated[str | None, Field(pattern=f"^{CURSOR_PATTERN}$", description=CURSOR)] = None
    state: Annotated[JobState | None, Field(description="only jobs in this state")] = None


class JobQuery(BaseModel):
    """How to look at a job."""

    model_config = ConfigDict(extra="forbid")

    wait: Annotated[
        float, Field(ge=0, le=60, description="seconds to wait for the job's end before answering", examples=[30])
    ] = 0


@router.post(
    "",
    status_code=202,
    response_model_exclude_none=True,
    summary="Analyse a video",
    responses={
        202: answered(
            "The job, waiting for its turn.", examples.NEW_JOB, headers={**location("the job's path"), **REPLAYED}
        ),
        **problems(
            known.FORM_CUT_OFF,
            known.NO_MODEL,
            known.KEY_USED,
            known.VIDEO_TOO_LARGE,
            known.NO_VIDEO,
            known.BAD_ANALYSIS,
            known.JOBS_FULL,
            *(503, 507),
        ),
    },
    openapi_extra={"requestBody": BODY, "parameters": [_KEY_PARAMETER]},
)
async def submit(request: Request, response: Response, jobs: JobsDep, intake: IntakeDep, key: KeyDep) -> Job:
    """Send the video as a form, `analysis` before or after `file`, or `model` alone:

        curl -F file=@street.mp4 -F 'analysis={"model": "yolox-nano", "labels": ["car"]}' …/v1/jobs

    or name a URL that the server fetches:

        curl -H 'Content-Type: application/json' -d '{"url": "https://example.com/street.mp4"}' …/v1/jobs

    The answer comes as soon as the video is stored; `Location` says where to look. A URL that turns out to give no
    video ends the job as `failed`, with the reason in `error`.
    """
    kind = media_type(request.headers.get("content-type", ""))
    if kind == FORM:
        await jobs.check_room(key)  # before the video has travelled in vain
        upload, analysis = await read_upload(request, intake)
        try:
            job, created = await jobs.submit(upload, analysis, key=key)
        finally:
            upload.discard()
    elif kind == "application/json":
        asked = await read_json(request)
        job, created = await jobs.submit_url(asked.url, asked.analysis, key=key)
    else:
        raise ContentTypeUnsupported(
            f"A job is a form or JSON, not {kind or 'a body without a type'}.",
            hint=f"Send the video as {FORM} (curl -F file=@video.mp4), or its URL as application/json.",
        )
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    if not created:
        response.headers["Idempotent-Replayed"] = "true"
    return job


@router.get(
    "",
    response_model_exclude_none=True,
    summary="List jobs",
    responses={200: answered("A page.", examples.page(examples.JOB)), **problems(422)},
)
async def page(query: Annotated[JobsQuery, Query()], jobs: JobsDep) -> Page[Job]:
    """Newest first."""
    items, cursor = await jobs.list(state=query.state, limit=query.limit, cursor=query.cursor)
    return Page(items=list(items), next_cursor=cursor)


@router.get(
    "/{job_id}",
    response_model_exclude_none=True,
    summary="Look at a job, or wait for it",
    responses={200: answered("The job.", examples.JOB), **problems(known.NO_JOB, _WAIT_TOO_LONG)},
)
async def get(job_id: JobId, query: Annotated[JobQuery, Query()], jobs: JobsDep) -> Job:
    """State, progress, frames by outcome, and once it is done a summary by label. With `wait` the answer comes when
    the job ends, or after that many seconds as it is then.
    """
    return await (jobs.wait(job_id, query.wait) if query.wait > 0 else jobs.get(job_id))


@router.post(
    "/{job_id}/cancel",
    response_model_exclude_none=True,
    summary="Cancel a job",
    responses={200: answered("The job.", {**examples.JOB, "state": "cancelled"}), **problems(known.NO_JOB)},
)
async def cancel(job_id: JobId, jobs: JobsDep) -> Job:
    """What is done stays and can be read. A job that has ended stays as it is."""
    return await jobs.cancel(job_id)


@router.delete(
    "/{job_id}",
    status_code=204,
    summary="Delete a job",
    response_description="It is gone.",
    responses=problems(known.NO_JOB),
)
async def delete(job_id: JobId, jobs: JobsDep) -> None:
    """Cancels it if need be, then removes it, its video and its results."""
    await jobs.delete(job_id)
