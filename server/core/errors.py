"""The server's branches of the error tree, and the HTTP status of every code of the whole tree.

    VidserveError
    ├── RequestError               what a client sent cannot be used
    │   ├── BodyInvalid            a body that is not what its content type says
    │   ├── FieldsInvalid          fields that are missing, unknown or out of range
    │   ├── ContentTypeUnsupported
    │   ├── UploadTooLarge
    │   ├── NotAcceptable          no format that the server has
    │   ├── MessageInvalid         a WebSocket message that cannot be understood
    │   ├── FormatNotPossible      a format that cannot say what these results say
    │   ├── UrlRefused             an address that the server must not fetch from
    │   └── SourceNotAllowed       a source that streams must not open
    │       ├── SourceUrlInvalid
    │       ├── SourceSchemeRefused
    │       ├── SourceFileRefused
    │       ├── SourceDeviceRefused
    │       └── AddressRefused     an address that no camera may have
    ├── AccessError                who calls may not
    │   ├── KeyMissing
    │   ├── KeyWrong
    │   ├── TicketExpired
    │   ├── TicketInvalid          altered, of an earlier run, or for something else
    │   └── CrossSite              a page of another site makes a browser call
    │   ├── AddressRefused         an address that no camera may have
    │   ├── TensorInvalid          a tensor that is not what its header says, or not what the model takes
    │   ├── RequestTimeout         a body that does not arrive
    │   └── SequenceInvalid        a sequence of frames that is not known, or cannot be
    ├── JobError
    │   ├── JobNotFound
    │   ├── KeyConflict            an Idempotency-Key that was used for something else
    │   └── TransitionRefused      a state that cannot follow the present one
    ├── StreamError
    │   ├── StreamNotFound
    │   ├── StreamExists           a name that another stream has
    │   └── StreamDeclared         it stands in the settings file, and is changed there
    ├── ModelImportError           something about bringing a model in
    │   └── ImportNotFound
    ├── EventError
    │   └── EventNotFound
    ├── FetchError                 a job's URL gave no video
    │   ├── FetchFailed
    │   └── FetchTimeout
    ├── StorageError
    │   ├── StorageFull
    │   ├── StorageBusy            another process holds the database
    │   └── DatabaseNewer          written by a newer version of the server
    └── Unavailable                not now
        ├── ModelUnavailable       the model is there, but does not serve
        ├── QueueFull              as many jobs, imports or pictures wait as may
        ├── SubscribersFull        as many subscribers are connected as may be
        ├── CapacityExceeded       more than the models were measured to do
        ├── StreamsFull            as many streams as there may be
        ├── TooManyRequests        as many requests or sequences are under way as may
        ├── DeadlinePassed         nobody wants the answer any more
        └── Stopping               the server is on its way out

The table is by code and not by class, because branches above this package (`wire`, `engine`, `worker`) are in it too.
"""

from __future__ import annotations

from dataclasses import dataclass

from model_export.errors import VidserveError


class RequestError(VidserveError):
    """What a client sent cannot be used."""

    code = "request_invalid"


class BodyInvalid(RequestError):
    """A body that is not what its content type says."""

    code = "body_invalid"


@dataclass(frozen=True)
class FieldProblem:
    """What is wrong with one field; `field` is its path, such as `analysis.sample_fps`."""

    field: str
    message: str


class FieldsInvalid(RequestError):
    """Fields that are missing, unknown or out of range; `problems` names each."""

    code = "fields_invalid"

    def __init__(self, *problems: FieldProblem, hint: str | None = None) -> None:
        message = " ".join(f"{problem.field}: {problem.message}" for problem in problems)
        super().__init__(message, hint=hint)
        self.problems = problems


class ContentTypeUnsupported(RequestError):
    """A content type that the route does not read."""

    code = "content_type_unsupported"


class UploadTooLarge(RequestError):
    """More bytes than the settings allow."""

    code = "upload_too_large"


class NotAcceptable(RequestError):
    """The client accepts no format that the server has."""

    code = "not_acceptable"


class MessageInvalid(RequestError):
    """A WebSocket message that cannot be understood."""

    code = "message_invalid"


class FormatNotPossible(RequestError):
    """The format cannot say what these results say."""

    code = "format_not_possible"


class UrlRefused(RequestError):
    """An address that the server must not fetch from."""

    code = "url_refused"


class SourceNotAllowed(RequestError):
    """A source that streams must not open."""

    code = "source_not_allowed"


class SourceUrlInvalid(SourceNotAllowed):
    """A URL that cannot be read."""

    code = "source_url_invalid"


class SourceSchemeRefused(SourceNotAllowed):
    """A kind of source that the server does not open."""

    code = "source_scheme_refused"


class SourceFileRefused(SourceNotAllowed):
    """A file that is not there, or not in one of the folders whose files streams may play."""

    code = "source_file_refused"


class SourceDeviceRefused(SourceNotAllowed):
    """A device that streams must not open."""

    code = "source_device_refused"


class AddressRefused(SourceNotAllowed):
    """An address that no camera may have; the settings say which may."""

    code = "address_refused"


class AccessError(VidserveError):
    """Who calls may not."""

    code = "access_error"


class KeyMissing(AccessError):
    """The call wants a key and shows none."""

    code = "key_missing"


class KeyWrong(AccessError):
    """The key is not this server's."""

    code = "key_wrong"


class TicketExpired(AccessError):
    """The ticket was good until a while ago."""

    code = "ticket_expired"


class TicketInvalid(AccessError):
    """The ticket was altered, is of an earlier run of the server, or for something else."""

    code = "ticket_invalid"


class CrossSite(AccessError):
    """A page of another site makes a browser call a server that asks nobody for a key."""

    code = "cross_site"


class TensorInvalid(RequestError):
    """A tensor that is not what its header says, or not what the model takes."""

    code = "tensor_invalid"


class RequestTimeout(RequestError):
    """A body that does not arrive in a sensible time."""

    code = "request_timeout"


class SequenceInvalid(RequestError):
    """A sequence of frames that is not known, or cannot be."""

    code = "sequence_invalid"


class JobError(VidserveError):
    """Something about a job."""

    code = "job_error"


class JobNotFound(JobError):
    """No job has this id."""

    code = "job_not_found"


class KeyConflict(JobError):
    """The Idempotency-Key was used before, for something else."""

    code = "idempotency_key_conflict"


class TransitionRefused(JobError):
    """The state asked for cannot follow the present one."""

    code = "state_conflict"


class StreamError(VidserveError):
    """Something about a stream."""

    code = "stream_error"


class StreamNotFound(StreamError):
    """No stream has this id."""

    code = "stream_not_found"


class StreamExists(StreamError):
    """Another stream has this name."""

    code = "stream_exists"


class StreamDeclared(StreamError):
    """The stream stands in the settings file, and is changed there."""

    code = "stream_declared"


class ModelImportError(VidserveError):
    """Something about bringing a model in."""

    code = "import_error"


class ImportNotFound(ModelImportError):
    """No import has this id."""

    code = "import_not_found"


class EventError(VidserveError):
    """Something about the history of events."""

    code = "event_error"


class EventNotFound(EventError):
    """No event has this id."""

    code = "event_not_found"


class FetchError(VidserveError):
    """A job's URL gave no video."""

    code = "fetch_error"


class FetchFailed(FetchError):
    """The other server could not be reached, or did not answer with a file."""

    code = "fetch_failed"


class FetchTimeout(FetchError):
    """The other server took too long."""

    code = "fetch_timeout"


class StorageError(VidserveError):
    """The data folder or the database in it cannot be used."""

    code = "storage_error"


class StorageFull(StorageError):
    """No space is left."""

    code = "storage_full"


class StorageBusy(StorageError):
    """Another process holds the database for too long."""

    code = "storage_busy"


class DatabaseNewer(StorageError):
    """The database was written by a newer version of the server."""

    code = "database_newer"


class Unavailable(VidserveError):
    """Not now; the same request may succeed later."""

    code = "unavailable"


class ModelUnavailable(Unavailable):
    """The model is in the repository, but does not serve."""

    code = "model_unavailable"


class QueueFull(Unavailable):
    """As many jobs, imports or pictures wait as may."""

    code = "queue_full"


class SubscribersFull(Unavailable):
    """As many subscribers are connected as may be."""

    code = "subscribers_full"


class CapacityExceeded(Unavailable):
    """The stream would ask more of the models than they were measured to do."""

    code = "capacity_exceeded"


class StreamsFull(Unavailable):
    """There are as many streams as there may be."""

    code = "streams_full"


class TooManyRequests(Unavailable):
    """As many requests, or sequences of them, are under way as may."""

    code = "too_many_requests"


class DeadlinePassed(Unavailable):
    """The time that the client gave is over."""

    code = "deadline_passed"


class Stopping(Unavailable):
    """The server is stopping and takes no new work."""

    code = "stopping"


STATUS: dict[str, int] = {
    "internal_error": 500,
    "model_error": 500,
    "manifest_invalid": 422,
    "bundle_invalid": 422,
    "import_refused": 422,
    "model_not_found": 404,
    "video_error": 422,
    "video_unreadable": 422,
    "video_too_large": 422,
    "video_too_long": 422,
    "request_invalid": 400,
    "body_invalid": 400,
    "fields_invalid": 422,
    "content_type_unsupported": 415,
    "upload_too_large": 413,
    "not_acceptable": 406,
    "format_not_possible": 406,
    "message_invalid": 422,
    "picture_unreadable": 422,
    "picture_too_large": 422,
    "url_refused": 422,
    "source_not_allowed": 422,
    "source_url_invalid": 422,
    "source_scheme_refused": 422,
    "source_file_refused": 422,
    "source_device_refused": 422,
    "address_refused": 422,
    "access_error": 403,
    "key_missing": 401,
    "key_wrong": 401,
    "ticket_expired": 401,
    "ticket_invalid": 401,
    "cross_site": 403,
    "tensor_invalid": 400,
    "request_timeout": 408,
    "sequence_invalid": 400,
    "job_error": 500,
    "job_not_found": 404,
    "idempotency_key_conflict": 409,
    "state_conflict": 409,
    "stream_error": 500,
    "stream_not_found": 404,
    "stream_exists": 409,
    "stream_declared": 409,
    "import_error": 500,
    "import_not_found": 404,
    "import_crashed": 422,
    "import_timeout": 422,
    "import_memory": 422,
    "default_configured": 409,
    "event_error": 500,
    "event_not_found": 404,
    "fetch_error": 502,
    "fetch_failed": 502,
    "fetch_timeout": 504,
    "storage_error": 500,
    "storage_full": 507,
    "storage_busy": 503,
    "database_newer": 500,
    "unavailable": 503,
    "queue_full": 429,
    "subscribers_full": 503,
    "too_many_requests": 429,
    "deadline_passed": 504,
    "model_unavailable": 503,
    "capacity_exceeded": 503,
    "streams_full": 503,
    "stopping": 503,
    "wire_error": 500,
    "shared_memory_too_small": 503,
    "frame_too_large": 422,
    "stale_frame": 500,
    "data_folder_in_use": 500,
    "task_not_for_video": 422,
    "model_in_use": 409,
    "process_down": 503,
    "state_refused": 422,
    "golden_mismatch": 422,
    "model_exists": 409,
    "model_read_only": 409,
    "session_failed": 422,
    "provider_unavailable": 503,
    "not_measurable": 422,
    "output_too_large": 500,
    "frame_refused": 422,
    "run_failed": 422,
    "not_loaded": 503,
    "model_not_loaded": 503,
    "engine_silent": 503,
    "inference_failed": 500,
    "predict_failed": 500,
    "results_refused": 500,
    "decoder_crashed": 500,
    "decoder_hung": 500,
    "decoder_memory": 500,
    "checkpoint_unreadable": 500,
    "job_timeout": 500,
    "source_error": 502,
    "source_invalid": 422,
    "source_unreachable": 502,
    "source_refused": 502,
    "source_unauthorized": 502,
    "source_not_found": 502,
    "source_silent": 504,
    "source_not_video": 502,
    "source_too_large": 502,
    "source_lost": 502,
    "source_late": 502,
    "source_ended": 502,
}


def relayed(code: str, message: str) -> VidserveError:
    """An error that another process reported, with its code."""
    kind: type[VidserveError] = type("Relayed", (VidserveError,), {"code": code})
    return kind(message)


def status_of(error: VidserveError) -> int:
    """The HTTP status of an error: that of its code, else of the nearest ancestor's that has one."""
    for kind in type(error).__mro__:
        status = STATUS.get(getattr(kind, "code", ""))
        if status is not None:
            return status
    return 500
