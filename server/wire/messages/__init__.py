"""What the processes say to each other: msgspec structs, one MessagePack frame each.

Several may travel together (`server.wire.sockets`). Pixels are never in it: a `FrameRef` names the shared-memory
slot that holds them. Outputs of a model travel as payload up to `INLINE_OUTPUT_BYTES`, larger ones in a slot.

`message` holds what all are made of, `engine` what the engine hears and says, `jobs` and `streams` what API process and
workers say to each other.
"""

from __future__ import annotations

from server.wire.messages.engine import (
    Cancel,
    Cancelled,
    EngineReady,
    GetState,
    GetTally,
    Infer,
    InferDone,
    LoadModel,
    ModelFailed,
    ModelLoaded,
    ModelUnloaded,
    PutState,
    StateRows,
    Tallies,
    UnloadModel,
)
from server.wire.messages.jobs import (
    CancelJob,
    JobCheckpoint,
    JobEnded,
    JobProgress,
    JobRows,
    Predict,
    Predicted,
    RowsTaken,
    StartJob,
    WorkerReady,
)
from server.wire.messages.message import (
    INLINE_OUTPUT_BYTES,
    PROTOCOL,
    FrameRef,
    Header,
    Heartbeat,
    Message,
    Priority,
    Stop,
    TensorMeta,
)
from server.wire.messages.streams import (
    ChangeStream,
    Look,
    Looked,
    Probe,
    Probed,
    Reached,
    Refusals,
    StartStream,
    StopStream,
    StreamEnded,
    StreamRows,
    StreamStatus,
)

__all__ = [
    "INLINE_OUTPUT_BYTES",
    "PROTOCOL",
    "AnyMessage",
    "Cancel",
    "CancelJob",
    "Cancelled",
    "ChangeStream",
    "EngineReady",
    "FrameRef",
    "GetState",
    "GetTally",
    "Header",
    "Heartbeat",
    "Infer",
    "InferDone",
    "JobCheckpoint",
    "JobEnded",
    "JobProgress",
    "JobRows",
    "LoadModel",
    "Look",
    "Looked",
    "Message",
    "ModelFailed",
    "ModelLoaded",
    "ModelUnloaded",
    "Predict",
    "Predicted",
    "Priority",
    "Probe",
    "Probed",
    "PutState",
    "Reached",
    "Refusals",
    "RowsTaken",
    "StartJob",
    "StartStream",
    "StateRows",
    "Stop",
    "StopStream",
    "StreamEnded",
    "StreamRows",
    "StreamStatus",
    "Tallies",
    "TensorMeta",
    "UnloadModel",
    "WorkerReady",
]

AnyMessage = (
    Infer | Cancel | GetState | PutState | GetTally | InferDone | Cancelled | StateRows | Tallies
    | LoadModel | UnloadModel | Stop | EngineReady | ModelLoaded | ModelFailed | ModelUnloaded
    | StartJob | CancelJob | RowsTaken | Predict | StartStream | ChangeStream | StopStream | Look | Probe
    | WorkerReady | JobRows | JobCheckpoint | JobEnded | Predicted
    | StreamStatus | StreamRows | StreamEnded | Looked | Probed | Heartbeat
)  # fmt: skip
