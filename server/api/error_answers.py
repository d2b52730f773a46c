"""The errors that calls answer with, as the OpenAPI document says them: problems, and the form of /v2."""

from __future__ import annotations

from typing import Any, NamedTuple

from server.api.errors import MEDIA_TYPE, Invalid, problem_value
from server.api.references import reference


class Said(NamedTuple):
    """A problem that a call answers with: when, and the code, the detail and the hint of an example."""

    status: int
    when: str
    code: str
    detail: str
    hint: str | None = None


# Where a call says nothing else: what every one may answer.
_USUAL = {
    one.status: one
    for one in (
        Said(
            400,
            "The body is not JSON.",
            "body_invalid",
            "The body is not JSON: EOF while parsing an object at line 1 column 1.",
            "Send one JSON object.",
        ),
        Said(
            401,
            "The key or the ticket is missing, wrong or no longer good.",
            "key_missing",
            "This server wants a key.",
            "Send `Authorization: Bearer KEY`.",
        ),
        Said(
            403,
            "Made by a page of another site, or by a name that is not this machine's.",
            "cross_site",
            "A page of another site (https://example.com) called this server, which asks for no key.",
            "Set a key (VIDSERVE_ADMIN_KEY): who has it, or a ticket, may call from anywhere.",
        ),
        Said(
            413,
            "More bytes than this call takes.",
            "upload_too_large",
            "The body is larger than 65536 bytes, the most that this call takes.",
        ),
        Said(
            422,
            "A field is missing, unknown or out of range; `errors` names each.",
            "fields_invalid",
            "limit: Input should be less than or equal to 200.",
        ),
        Said(
            500,
            "The server's own fault; its log says more.",
            "internal_error",
            "The server failed in a way that nobody foresaw.",
            "The log of the server says more.",
        ),
        Said(
            503,
            "Not now; the same call may succeed later.",
            "stopping",
            "The server is stopping.",
            "Ask again when it is back.",
        ),
        Said(
            507,
            "The server's disk is full.",
            "storage_full",
            "No space is left for vidserve-data/vidserve.db.",
            "Delete jobs that are no longer needed, or free space on the disk.",
        ),
    )
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


def problems(*which: int | Said) -> dict[int | str, dict[str, Any]]:
    """The problems that a call answers with, for `responses`: a status alone where the usual example fits the call."""
    found: dict[int | str, dict[str, Any]] = {}
    for one in (*which, 500):
        said = _USUAL[one] if isinstance(one, int) else one
        example = problem_value(said.status, said.code, said.detail, hint=said.hint, errors=_fields(said))
        content = {"schema": reference("Problem"), "example": example.model_dump(exclude_none=True)}
        found[said.status] = {"description": said.when, "content": {MEDIA_TYPE: content}}
    return found


def invalid(detail: str, hint: str | None = None) -> Said:
    """What is wrong with a field of this call, `field: what`."""
    return _USUAL[422]._replace(detail=detail, hint=hint)


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors that a call below /v2 answers with, for `responses`."""
    found: dict[int | str, dict[str, Any]] = {}
    for status in (*statuses, 500):
        when, code, error = _REFUSALS[status]
        content = {"schema": reference("Refused"), "example": {"error": error, "code": code}}
        found[status] = {"description": when, "content": {"application/json": content}}
    return found


def _fields(said: Said) -> list[Invalid]:
    """As `fields_invalid` names them beside its detail."""
    field, _, message = said.detail.partition(": ")
    return [Invalid(field=field, message=message)] if said.code == "fields_invalid" else []
