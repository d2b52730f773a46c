"""What answers look like: examples for the OpenAPI document. They are about one afternoon of one server."""

from __future__ import annotations

from typing import Any

JOB: dict[str, Any] = {
    "id": "8c1d5e0f2a7b4c69",
    "state": "done",
    "created_at": "2026-01-02T10:00:00Z",
    "started_at": "2026-01-02T10:00:00.020000Z",
    "ended_at": "2026-01-02T10:00:04.310000Z",
    "source": "street.mp4",
    "analysis": {"model": "yolox-nano", "labels": ["car"]},
    "model": "yolox-nano@1",
    "width": 768,
    "height": 432,
    "duration_s": 30.16,
    "progress": 1.0,
    "fps": 87.9,
    "frames": {"analysed": 377},
    "summary": {"car": {"frames": 153, "most_at_once": 2, "tracks": 4, "first_s": 2.4, "last_s": 27.92}},
    "warnings": [],
}
NEW_JOB: dict[str, Any] = {
    "id": "8c1d5e0f2a7b4c69",
    "state": "queued",
    "created_at": "2026-01-02T10:00:00Z",
    "source": "street.mp4",
    "analysis": {"model": "yolox-nano", "labels": ["car"]},
    "model": "yolox-nano@1",
    "frames": {},
    "warnings": [],
}

STREAM: dict[str, Any] = {
    "id": "9905153c5e080afd",
    "name": "front door",
    "managed_by": "api",
    "url": "rtsp://192.168.1.20/stream1",
    "username": "viewer",
    "transport": "tcp",
    "loop": False,
    "state": "running",
    "paused": False,
    "created_at": "2026-01-02T10:00:00Z",
    "analysis": {"model": "yolox-nano", "labels": ["person"], "sample_fps": 5.0},
    "model": "yolox-nano@1",
    "asked_fps": 5.0,
    "codec": "h264",
    "width": 640,
    "height": 360,
    "fps": 9.97,
    "last_frame_at": "2026-01-02T10:20:00.310000Z",
    "last_result_at": "2026-01-02T10:20:00.290000Z",
    "reconnects": 0,
    "frames": {"analysed": 6000, "sampled_out": 6000},
}
NEW_STREAM: dict[str, Any] = {
    "id": "9905153c5e080afd",
    "name": "front door",
    "managed_by": "api",
    "url": "rtsp://192.168.1.20/stream1",
    "username": "viewer",
    "transport": "tcp",
    "loop": False,
    "state": "starting",
    "paused": False,
    "created_at": "2026-01-02T10:00:00Z",
    "analysis": {"model": "yolox-nano", "labels": ["person"], "sample_fps": 5.0},
    "reconnects": 0,
    "frames": {},
}
PROBE: dict[str, Any] = {
    "codec": "h264",
    "width": 640,
    "height": 360,
    "fps": 10.0,
    "picture": "/9j/4AAQSkZJRgABAQ…",
}
FAILED_PROBE: dict[str, Any] = {
    "error": {"code": "source_unauthorized", "message": "The camera does not accept this user or password."}
}

ROW: dict[str, Any] = {
    "frame": 12,
    "pts_s": 0.48,
    "captured_at": None,
    "width": 768,
    "height": 432,
    "model": "yolox-nano@1",
    "objects": [
        {"track_id": 3, "label": "car", "class_id": 2, "confidence": 0.91, "box": [301.2, 118.0, 388.5, 176.3]}
    ],
}
STREAM_ROW: dict[str, Any] = {
    **ROW,
    "frame": 12000,
    "pts_s": 1200.1,
    "captured_at": "2026-01-02T10:20:00.250Z",
    "width": 640,
    "height": 360,
}
PICTURE_ROW: dict[str, Any] = {
    **ROW,
    "frame": 0,
    "pts_s": 0.0,
    "objects": [{"label": "car", "class_id": 2, "confidence": 0.91, "box": [301.2, 118.0, 388.5, 176.3]}],
}

EVENT: dict[str, Any] = {
    "id": "9905153c5e080afd-12",
    "seq": 12,
    "type": "track_started",
    "stream": "9905153c5e080afd",
    "at": "2026-01-02T10:20:00.250Z",
    "frame": 12000,
    "pts_s": 1200.1,
    "track_id": 3,
    "label": "person",
    "confidence": 0.91,
}

MODEL: dict[str, Any] = {
    "name": "yolox-nano",
    "version": 1,
    "default": True,
    "server_default": False,
    "versions": [1],
    "task": "detect",
    "family": "yolox",
    "description": "",
    "labels": ["person", "bicycle", "car"],
    "input": {"width": 416, "height": 416},
    "state": "ready",
    "provider": "cpu",
    "asked_provider": "auto",
    "precision": "fp32",
    "sessions": 2,
    "threads": 1,
    "max_batch": 1,
    "sha256": "c789161ed43b3e2e7b6d0b2ba8cbe4a2b04a8b2ee1c0bcd03dbd22d4bd4a1a2e",
    "variants": [],
}
UNLOADED_MODEL = {
    **{key: MODEL[key] for key in ("name", "version", "default", "server_default", "versions", "task", "family")},
    **{key: MODEL[key] for key in ("description", "labels", "input", "variants")},
    "state": "unloaded",
}
IMPORT: dict[str, Any] = {
    "id": "5b1c77d0a94e2f63",
    "state": "done",
    "created_at": "2026-01-02T10:00:00Z",
    "started_at": "2026-01-02T10:00:00.010000Z",
    "ended_at": "2026-01-02T10:00:04.310000Z",
    "source": "yolox_nano.onnx",
    "family": "yolox",
    "model": "yolox-nano@1",
    "lines": ["The batch is free; rows are bit-identical in batches of 1, 2, 4, 8.", "Parity shown on 4 pictures."],
}
NEW_IMPORT: dict[str, Any] = {
    "id": "5b1c77d0a94e2f63",
    "state": "importing",
    "created_at": "2026-01-02T10:00:00Z",
    "source": "yolox_nano.onnx",
    "family": "yolox",
    "lines": [],
}
READY: dict[str, Any] = {
    "ready": True,
    "problems": [],
    "parts": {"engine": {"ok": True, "detail": "running (pid 101)"}, "models": {"ok": True, "detail": "loaded"}},
}


def page(item: dict[str, Any]) -> dict[str, Any]:
    """A page with one item, and no other after it."""
    return {"items": [item]}
