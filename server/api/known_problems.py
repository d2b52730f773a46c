"""The problems that calls answer with, each with an example that fits the call; what every call may say is in
`error_answers`.
"""

from __future__ import annotations

from server.api.error_answers import Said

# Of jobs and their results.
NO_JOB = Said(
    404,
    "There is no job with this id.",
    "job_not_found",
    "There is no job '5f0e'.",
    "It may have been deleted; GET /v1/jobs lists those there are.",
)
BAD_ANALYSIS = Said(
    422,
    "A field is missing, unknown or out of range; `errors` names each.",
    "fields_invalid",
    "analysis.lables: it is not known; `labels` is.",
)
FORM_CUT_OFF = Said(
    400,
    "The form is not one, or is cut off.",
    "body_invalid",
    "The form ends before its last boundary.",
    "Send it again; it was cut off on the way.",
)
KEY_USED = Said(
    409,
    "The Idempotency-Key was used for another video or analysis.",
    "idempotency_key_conflict",
    "The Idempotency-Key 'a1' was used for job 5f0e7c1d2a9b4c68, with another video or analysis.",
    "Send a new key for a new request.",
)
VIDEO_TOO_LARGE = Said(
    413,
    "The video has more bytes than `[limits] upload_bytes`.",
    "upload_too_large",
    "The file is larger than 4294967296 bytes, the most that this server takes.",
    "Send a shorter or smaller video, or raise `[limits] upload_bytes` in the settings.",
)
NO_VIDEO = Said(
    415,
    "It is neither a form nor JSON.",
    "content_type_unsupported",
    "A job is a form or JSON, not video/mp4.",
    "Send the video as multipart/form-data (curl -F file=@video.mp4), or its URL as application/json.",
)
JOBS_FULL = Said(
    429,
    "As many jobs wait as may; `Retry-After` says when to try again.",
    "queue_full",
    "1000 jobs wait already, and no more may.",
    "Send it again later, as `Retry-After` says, or raise `[jobs] queued` in the settings.",
)
NO_SUCH_FORMAT = Said(
    406,
    "Not to be had in this format.",
    "format_not_possible",
    "Job 8c1d5e0f2a7b4c69 did not track, and mot is about tracks.",
    "Ask for ?format=ndjson, csv or coco, or analyse again with `track`.",
)

# Of streams and what they show.
NO_STREAM = Said(
    404,
    "There is no stream with this id.",
    "stream_not_found",
    "There is no stream with the id 'yard'.",
    "It may have been deleted. If this is its name, GET /v1/streams?name=yard finds its id; GET /v1/streams lists all.",
)
NO_ROOM = Said(
    503,
    "The models cannot do as much, there are as many streams as there may be, or a model is loading.",
    "capacity_exceeded",
    "The stream asks for 5 frames a second of yolox-nano@1, 12% of what can be done here (yolox-nano@1 does 41); "
    "the others have 85%, and together that is more than 90%.",
    "Lower `sample_fps`, take a quicker model or another machine, or add ?force=true and see frames dropped.",
)
NAME_TAKEN = Said(
    409,
    "Another stream has this name.",
    "stream_exists",
    "Stream 9905153c5e080afd is called 'front door'.",
    "Take another name, or PATCH that stream.",
)
DECLARED = Said(
    409,
    "It stands in the settings file.",
    "stream_declared",
    "Stream cfg_front stands in the settings file, and is changed there.",
    "Change `[streams.front]`, and send the server SIGHUP (kill -HUP).",
)
NOT_JSON = Said(
    415,
    "It is no JSON.",
    "content_type_unsupported",
    "A stream is described in JSON, not application/x-www-form-urlencoded.",
    "Send it with Content-Type: application/json.",
)
BAD_SOURCE = Said(
    422,
    "A field is wrong, or the source is one that this server does not open; `hint` names the setting.",
    "source_file_refused",
    "/videos/street.mp4 is in no folder whose files streams may play (none).",
    "Put the folder into `[sources] folders`.",
)
NO_SNAPSHOT = Said(
    503,
    "The stream gives no picture now; `detail` says why.",
    "snapshot_unavailable",
    "Stream 9905153c5e080afd gives no picture: it is paused.",
    'PATCH /v1/streams/9905153c5e080afd with {"paused": false} opens it again.',
)

# Of news.
SUBSCRIBERS_FULL = Said(
    503,
    "As many subscribers are connected as may be, or the server is stopping.",
    "subscribers_full",
    "There are 1000 subscribers already, and no more may be.",
    "Follow several streams over one connection, or raise `[events] subscribers` in the settings.",
)
NO_EVENT = Said(
    404,
    "There is no event with this id.",
    "event_not_found",
    "There is no event '9905153c5e080afd-7'.",
    "GET /v1/events lists those there are; old ones go, as `[events] keep_days` says.",
)

# Of models and pictures.
NO_MODEL = Said(
    404,
    "There is no such model or version.",
    "model_not_found",
    "There is no model 'yolo'.",
    "GET /v1/models lists those there are.",
)
BAD_BUNDLE = Said(
    422,
    "What is in the repository cannot be served.",
    "bundle_invalid",
    "models/yolox-nano/1: model.onnx is missing.",
    "Import the model again.",
)
MODEL_NOT_UP = Said(
    503,
    "It does not serve now; `detail` says why.",
    "model_unavailable",
    "yolox-nano@1 does not serve: The model does not give its golden answers.",
)
MODEL_IN_USE = Said(
    409,
    "Jobs that have not ended, or streams, need it.",
    "model_in_use",
    "Jobs, streams or sequences need yolox-nano@1.",
    "Cancel them, wait for their end, or have them use another model.",
)
DEFAULT_IN_SETTINGS = Said(
    409,
    "The settings of the server say which one does.",
    "default_configured",
    "The settings say that yolox-nano serves where no model is named.",
    "Change or remove `[engine] default_model` there, and start the server again.",
)
PICTURE_TOO_LARGE = Said(
    413,
    "The picture has too many bytes.",
    "upload_too_large",
    "The picture is larger than 33554432 bytes.",
    "Send a smaller picture.",
)
NO_PICTURE = Said(
    415,
    "It is neither a form nor a picture.",
    "content_type_unsupported",
    "A picture is a form or raw, not video/mp4.",
    "Send it as multipart/form-data (curl -F file=@picture.jpg), or raw with its own type, for example image/jpeg.",
)
PICTURE_UNREADABLE = Said(
    422,
    "It cannot be read as a picture, or a field is wrong.",
    "picture_unreadable",
    "These bytes are not a picture. Send a JPEG, PNG, WebP, BMP or TIFF file, not a video.",
)
PICTURES_FULL = Said(
    429,
    "As many pictures are in hand as may be; `Retry-After` says when to try again.",
    "queue_full",
    "256 pictures are in hand, and no more are taken.",
    "Try again in a second, or raise `[limits] pictures`.",
)
NO_ANSWER = Said(
    503,
    "Not now; the same call may succeed later.",
    "model_unavailable",
    "The worker is starting.",
    "Try again in a second.",
)

# Of models on their way in.
NO_IMPORT = Said(
    404,
    "There is no import with this id.",
    "import_not_found",
    "There is no import '5f0e'.",
    "GET /v1/imports lists those there are.",
)
VERSION_TAKEN = Said(
    409,
    "That version is there already, or the Idempotency-Key was used for another file or other options.",
    "model_exists",
    "yolox-nano@1 is there already.",
    "Leave `version` out, or remove that one first.",
)
MODEL_TOO_LARGE = Said(
    413,
    "The file has more bytes than `[limits] model_bytes`.",
    "upload_too_large",
    "The file is larger than 2147483648 bytes, the most that this server takes.",
    "Raise `[limits] model_bytes` in the settings, or use `vidserve models import` on the server's machine.",
)
NO_FORM = Said(
    415,
    "It is no form.",
    "content_type_unsupported",
    "A model comes in a form, not as application/octet-stream.",
    "Send it as multipart/form-data (curl -F file=@model.onnx -F family=yolox).",
)
IMPORTS_FULL = Said(
    429,
    "As many models wait as may; `Retry-After` says when to try again.",
    "queue_full",
    "8 models wait already, and no more may.",
    "Send it again when one of them is done; GET /v1/imports lists them.",
)

# Of health.
NOT_READY = Said(
    503,
    "Something is in the way; `problems` and `parts` say what.",
    "not_ready",
    "Model yolox-nano is loading.",
)
