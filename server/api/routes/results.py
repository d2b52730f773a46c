"""What a job saw, in one of several formats."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from msgspec import UNSET
from pydantic import BaseModel, ConfigDict, Field

from model_export.errors import ModelNotFound
from model_export.manifest import Task
from server.api import known_problems as known
from server.api.conversion import Format, convert
from server.api.deps import JobId, JobsDep, ModelsDep
from server.api.error_answers import invalid, problems
from server.api.negotiation import accepted
from server.api.ports import Jobs, Models
from server.api.references import reference
from server.core.errors import FormatNotPossible
from server.domain.job import Job
from server.domain.result import Row

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

_row = msgspec.json.Decoder(Row)
_TEXT = {"schema": {"type": "string"}}
_NDJSON = (
    '{"frame":12,"pts_s":0.48,"captured_at":null,"width":768,"height":432,"model":"yolox-nano@1","objects":'
    '[{"track_id":3,"label":"car","class_id":2,"confidence":0.91,"box":[301.2,118.0,388.5,176.3]}]}\n'
)
_CSV = "frame,pts_s,track_id,label,class_id,confidence,x1,y1,x2,y2\n12,0.48,3,car,2,0.91,301.2,118.0,388.5,176.3\n"
_COCO = {
    "info": {"description": "vidserve"},
    "images": [{"id": 12, "file_name": "frame_000012.jpg", "width": 768, "height": 432, "pts_s": 0.48}],
    "annotations": [
        {
            "id": 1,
            "image_id": 12,
            "category_id": 3,
            "bbox": [301.2, 118.0, 87.3, 58.3],
            "area": 5089.59,
            "iscrowd": 0,
            "score": 0.91,
            "track_id": 3,
        }
    ],
    "categories": [{"id": 3, "name": "car"}],
}
_MOT = "13,3,302.2,119.0,87.3,58.3,0.91,-1,-1,-1\n"


class ResultsQuery(BaseModel):
    """How results are wanted."""

    model_config = ConfigDict(extra="forbid")

    format: Annotated[Format | None, Field(description="what the `Accept` header says if absent, else ndjson")] = None


@router.get(
    "/{job_id}/results",
    response_class=StreamingResponse,
    summary="Read a job's results",
    responses={
        200: {
            "description": "Of a running job, the frames finished so far.",
            "content": {
                Format.NDJSON.media_type: {**_TEXT, "example": _NDJSON, "x-line-schema": reference("Row")},
                Format.CSV.media_type: {**_TEXT, "example": _CSV},
                Format.COCO.media_type: {"schema": {"type": "object"}, "example": _COCO},
                Format.MOT.media_type: {**_TEXT, "example": _MOT},
            },
        },
        **problems(
            known.NO_JOB,
            known.NO_SUCH_FORMAT,
            invalid("format: Input should be 'ndjson', 'csv', 'coco' or 'mot'."),
        ),
    },
)
async def results(
    request: Request, job_id: JobId, query: Annotated[ResultsQuery, Query()], jobs: JobsDep, models: ModelsDep
) -> StreamingResponse:
    """- `ndjson`: a row of JSON for each frame that was analysed, and all there is to know.
    - `csv`: a header and a line for each object: `frame,pts_s,track_id,label,class_id,confidence,x1,y1,x2,y2`.
    - `coco`: one JSON document with an image a frame and an annotation an object; `score` and `track_id` stand beside
      COCO's own fields, boxes are left, top, width, height.
    - `mot`: a line for each tracked object as MOTChallenge writes results, frames and pixels counted from 1:
      `frame,id,left,top,width,height,confidence,-1,-1,-1`.

    A format that cannot say what the job's task says is refused: all but `ndjson` want objects, `mot` wants tracks.
    """
    job = await jobs.get(job_id)
    form = query.format or accepted(request.headers.get("accept", "*/*"))
    await _check(job, form, jobs, models)
    chunks = convert(lambda: jobs.rows(job_id), form)
    # Asked for before the answer begins: what fails here can still be said with a status.
    first = await anext(chunks, b"")
    return StreamingResponse(
        _joined(first, chunks),
        media_type=form.media_type,
        headers={"Content-Disposition": f'attachment; filename="{job.id}.{form.suffix}"', "Vary": "Accept"},
    )


async def _joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk


async def _check(job: Job, form: Format, jobs: Jobs, models: Models) -> None:
    if form is Format.NDJSON:
        return
    if not await _has_objects(job, jobs, models):
        raise FormatNotPossible(
            f"The results of job {job.id} are not objects, and {form} can say nothing else.",
            hint="Ask for ?format=ndjson.",
        )
    if form is Format.MOT and job.analysis.track is False:
        raise FormatNotPossible(
            f"Job {job.id} did not track, and mot is about tracks.",
            hint="Ask for ?format=ndjson, csv or coco, or analyse again with `track`.",
        )


async def _has_objects(job: Job, jobs: Jobs, models: Models) -> bool:
    async for chunk in jobs.rows(job.id):
        return _row.decode(chunk.partition(b"\n")[0]).objects is not UNSET
    # No row yet. A model that is gone by now leaves nothing to contradict.
    if job.model is None:
        return True
    try:
        return (await models.get(job.model)).task in (Task.DETECT, Task.MOTION)
    except ModelNotFound:
        return True
