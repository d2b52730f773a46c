"""The errors that calls answer with, as the OpenAPI document says them: problems, and the form of /v2."""

from __future__ import annotations

from typing import Any

from server.api.errors import MEDIA_TYPE, problem_value
from server.api.references import reference

# When a problem of each status is answered, and the code, the detail and the hint of an example.
_PROBLEMS = {
    400: (
        "The body is not what its content type says.",
        "body_invalid",
        "The form ends before its last boundary.",
        "Send it again; it was cut off on the way.",
    ),
    401: (
        "The key or the ticket is missing, wrong or no longer good.",
        "key_missing",
        "This server wants a key.",
        "Send `Authorization: Bearer KEY`.",
    ),
    403: (
        "Made by a page of another site, or by a name that is not this machine's.",
        "cross_site",
        "A page of another site (https://example.com) called this server, which asks for no key.",
        "Set a key (VIDSERVE_ADMIN_KEY): who has it, or a ticket, may call from anywhere.",
    ),
    404: (
        "There is none with this name.",
        "model_not_found",
        "There is no model 'yolo'.",
        "GET /v1/models lists those there are.",
    ),
    406: (
        "Not to be had in this format.",
        "format_not_possible",
        "Job 5f0e did not track, and mot is about tracks.",
        "Ask for ?format=ndjson.",
    ),
    409: (
        "Its present state does not allow that.",
        "model_in_use",
        "Jobs or streams need yolox-nano@1.",
        "Cancel them, or wait for their end.",
    ),
    413: (
        "More bytes than this server takes.",
        "upload_too_large",
        "The file is larger than 4294967296 bytes.",
        "Send a shorter or smaller video.",
    ),
    415: (
        "A content type that this call does not read.",
        "content_type_unsupported",
        "A job is a form or JSON, not video/mp4.",
        "curl -F file=@video.mp4 sends a form.",
    ),
    422: (
        "A field is missing, unknown or out of range; `errors` names each.",
        "fields_invalid",
        "analysis.lables: it is not known; `labels` is.",
        None,
    ),
    429: (
        "As many wait as may; `Retry-After` says when to try again.",
        "queue_full",
        "As many as may wait already do.",
        "Send it again later, as `Retry-After` says.",
    ),
    500: (
        "The server's own fault; its log says more.",
        "internal_error",
        "The server failed in a way that nobody foresaw.",
        "The log of the server says more.",
    ),
    503: (
        "Not now; the same call may succeed later.",
        "model_unavailable",
        "The worker is starting.",
        "Try again in a second.",
    ),
    507: (
        "The server's disk is full.",
        "storage_full",
        "No space is left for the upload.",
        "Delete jobs that are no longer needed.",
    ),
}
# The same of the protocol's form: when, and the code and text of an example.
_REFUSALS = {
    400: (
        "The request, a tensor or the sequence is not what it must be.",
        "tensor_invalid",
        "Input 'images' has the shape [1, 224, 224, 3], and must have [-1, 3, 224, 224].",
    ),
    401: (
        "The key is missing, wrong or no longer good.",
        "key_missing",
        "This server wants a key. Send `Authorization: Bearer KEY`.",
    ),
    403: (
        "Made by a page of another site, or by a name that is not this machine's.",
        "cross_site",
        "A page of another site (https://example.com) called this server, which asks for no key. Set a key.",
    ),
    404: ("There is no such model or version.", "model_not_found", "There is no model 'yolo'."),
    408: ("The body did not arrive.", "request_timeout", "The request did not arrive within 60 s."),
    409: ("Jobs need it.", "model_in_use", "Jobs or sequences need yolox-nano@1."),
    413: ("More bytes than this server takes.", "upload_too_large", "The request is larger than 67108864 bytes."),
    415: (
        "The body is packed in a way that is not known.",
        "content_type_unsupported",
        "A body packed as br is not read.",
    ),
    422: (
        "The model does not run on these values, or a value of the call is not what it must be.",
        "run_failed",
        "indices element out of data bounds, idx=9 must be within the inclusive range [-4,3]",
    ),
    429: (
        "As many requests are under way as may; `Retry-After` says when to try again.",
        "too_many_requests",
        "As many requests are under way as may be.",
    ),
    500: (
        "The server's own fault; its log says more.",
        "internal_error",
        "The server failed in a way that nobody foresaw.",
    ),
    503: ("Not now; the same call may succeed later.", "model_unavailable", "net@1 does not serve: It is loading."),
    504: ("The `timeout` of the request is over.", "deadline_passed", "Its deadline passed before its turn came."),
}


def problems(*statuses: int, **texts: str) -> dict[int | str, dict[str, Any]]:
    """The problems that a call answers with, for `responses`; `s404="…"` says when in other words."""
    said = {int(key.removeprefix("s")): text for key, text in texts.items()}
    found: dict[int | str, dict[str, Any]] = {}
    for status in (*statuses, 500):
        when, code, detail, hint = _PROBLEMS[status]
        example = problem_value(status, code, detail, hint=hint).model_dump(exclude_none=True)
        content = {"schema": reference("Problem"), "example": example}
        found[status] = {"description": said.get(status, when), "content": {MEDIA_TYPE: content}}
    return found


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors that a call below /v2 answers with, for `responses`."""
    found: dict[int | str, dict[str, Any]] = {}
    for status in (*statuses, 500):
        when, code, error = _REFUSALS[status]
        content = {"schema": reference("Refused"), "example": {"error": error, "code": code}}
        found[status] = {"description": when, "content": {"application/json": content}}
    return found
