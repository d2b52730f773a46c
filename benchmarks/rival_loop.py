"""Runs inside the rival's environment: Roboflow's `InferencePipeline` over files, with our model as custom logic.

    python -m benchmarks.rival_loop MODEL THREADS SPINNING VIDEO [VIDEO …]

As its documentation does it: `on_video_frame` letterboxes, runs one session, decodes and suppresses; the sink tracks.
Of a file it drops no frames, which is asked for here all the same. Prints one line of JSON: frames seen of each video,
seconds from the start of the pipeline to its end, tracks, versions.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import supervision as sv
from inference import InferencePipeline
from inference.core.interfaces.camera.video_source import BufferConsumptionStrategy, BufferFillingStrategy

from benchmarks.plain import Yolox

PACKAGES = ("inference-cpu", "supervision", "onnxruntime", "opencv-python", "numpy")


def run(model: Path, threads: int, spinning: bool, videos: list[str]) -> dict[str, Any]:
    yolox = Yolox(model, threads, spinning=spinning)
    trackers = [sv.ByteTrack() for _ in videos]
    seen = [0] * len(videos)
    tracks: list[set[int]] = [set() for _ in videos]

    def on_video_frame(frames: list[Any]) -> list[Any]:
        found = (yolox.find(frame.image) for frame in frames)
        return [sv.Detections(xyxy=boxes, confidence=scores, class_id=classes) for boxes, scores, classes in found]

    def on_prediction(predictions: Any, frames: Any) -> None:
        together = zip(predictions, frames, strict=True) if len(videos) > 1 else [(predictions, frames)]
        for found, frame in together:
            if frame is not None:
                source = frame.source_id or 0
                seen[source] += 1
                tracks[source].update(trackers[source].update_with_detections(found).tracker_id.tolist())

    pipeline = InferencePipeline.init_with_custom_logic(
        video_reference=videos if len(videos) > 1 else videos[0],
        on_video_frame=on_video_frame,
        on_prediction=on_prediction,
        source_buffer_filling_strategy=BufferFillingStrategy.WAIT,
        source_buffer_consumption_strategy=BufferConsumptionStrategy.LAZY,
    )
    start = time.perf_counter()
    pipeline.start()
    pipeline.join()
    seconds = time.perf_counter() - start
    versions = {name: version(name) for name in PACKAGES}
    return {"frames": seen, "seconds": seconds, "tracks": [len(ids) for ids in tracks], "versions": versions}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    file, threads, spinning, *files = sys.argv[1:]
    print(json.dumps(run(Path(file), int(threads), spinning == "1", files)))
