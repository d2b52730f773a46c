"""The server's branches of the error tree. Their HTTP statuses are in `server.core.statuses`.

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
│   ├── SourceNotAllowed       a source that streams must not open
│   │   ├── SourceUrlInvalid
│   │   ├── SourceSchemeRefused
│   │   ├── SourceFileRefused
│   │   ├── SourceDeviceRefused
│   │   └── AddressRefused     an address that no camera may have
│   ├── TensorInvalid          a tensor that is not what its header says, or not what the model takes
│   ├── RequestTimeout         a body that does not arrive
│   └── SequenceInvalid        a sequence of frames that is not known, or cannot be
├── AccessError                who calls may not
│   ├── KeyMissing
│   ├── KeyWrong
│   ├── TicketExpired
│   ├── TicketInvalid          altered, of an earlier run, or for something else
│   └── CrossSite              a page of another site makes a browser call
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
    ├── SnapshotUnavailable    a stream that gives no picture at this moment
    ├── TooManyRequests        as many requests or sequences are under way as may
    ├── DeadlinePassed         nobody wants the answer any more
    └── Stopping               the server is on its way out
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


class SnapshotUnavailable(Unavailable):
    """The stream gives no picture at this moment."""

    code = "snapshot_unavailable"


class TooManyRequests(Unavailable):
    """As many requests, or sequences of them, are under way as may."""

    code = "too_many_requests"


class DeadlinePassed(Unavailable):
    """The time that the client gave is over."""

    code = "deadline_passed"


class Stopping(Unavailable):
    """The server is stopping and takes no new work."""

    code = "stopping"


def relayed(code: str, message: str) -> VidserveError:
    """An error that another process reported, with its code."""
    kind: type[VidserveError] = type("Relayed", (VidserveError,), {"code": code})
    return kind(message)
