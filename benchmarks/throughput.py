"""One video by POST, against the ceiling of the machine and against a plain loop, in one run.

    python benchmarks/throughput.py --video car-detection.mp4 --model yolox_nano.onnx --labels coco.names [--runs 5]

Four measurements take turns, so that a change of the machine's speed meets all of them:

ceiling   the best sessions × threads of ONNX Runtime on this machine, alone, on frames decoded and fitted beforehand
plain     what one writes first: read, letterbox, one session (spinning off), decode the head in NumPy, NMS
server    `vidserve serve`: frames a second from the POST to `done`, tracking on
ready     seconds from `vidserve serve` to /health/ready

Prints a table with medians, and the ratios.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import httpx
import numpy as np
import onnxruntime as ort

PORT = 8765


def session(model: Path | bytes, threads: int, *, spinning: bool = False) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def read(video: Path) -> list[np.ndarray]:
    capture = cv2.VideoCapture(str(video))
    frames = []
    while True:
        found, frame = capture.read()
        if not found:
            return frames
        frames.append(frame)


def letterbox(frame: np.ndarray, size: int = 416) -> tuple[np.ndarray, float]:
    height, width = frame.shape[:2]
    scale = min(size / width, size / height)
    small = cv2.resize(frame, (round(width * scale), round(height * scale)))
    out = np.full((size, size, 3), 114, np.uint8)
    out[: small.shape[0], : small.shape[1]] = small
    return out, scale


def ceiling(bundle: Path, frames: list[np.ndarray], sessions: int, threads: int) -> float:
    """Frames a second of the bundle's graph alone."""
    runners = [session(bundle / "model.onnx", threads) for _ in range(sessions)]
    parts = [frames[index::sessions] for index in range(sessions)]

    def work(runner: ort.InferenceSession, part: list[np.ndarray]) -> None:
        for frame in part:
            runner.run(None, {"frames": frame[None]})

    for runner in runners:
        work(runner, frames[:3])
    crew = [threading.Thread(target=work, args=pair) for pair in zip(runners, parts, strict=True)]
    start = time.perf_counter()
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    return len(frames) / (time.perf_counter() - start)


def decode(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """YOLOX's head: grid cells and strides to boxes."""
    grids, strides = [], []
    for stride in (8, 16, 32):
        side = 416 // stride
        ys, xs = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
        grids.append(np.stack([xs, ys], 2).reshape(-1, 2))
        strides.append(np.full((side * side, 1), stride))
    grid, stride = np.concatenate(grids), np.concatenate(strides)
    centre = (raw[:, :2] + grid) * stride
    size = np.exp(raw[:, 2:4]) * stride
    scores = raw[:, 4:5] * raw[:, 5:]
    return np.concatenate([centre - size / 2, size], 1), scores.max(1), scores.argmax(1)


def plain(model: Path, video: Path) -> float:
    """Frames a second of the loop that one writes first."""
    runner = session(model, len(os.sched_getaffinity(0)))
    capture = cv2.VideoCapture(str(video))
    count = 0
    start = time.perf_counter()
    while True:
        found, frame = capture.read()
        if not found:
            return count / (time.perf_counter() - start)
        fitted, scale = letterbox(frame)
        raw = runner.run(None, {"images": fitted.transpose(2, 0, 1)[None].astype(np.float32)})[0][0]
        boxes, scores, classes = decode(raw)
        keep = scores > 0.25
        found_at = cv2.dnn.NMSBoxesBatched(
            boxes[keep].tolist(), scores[keep].tolist(), classes[keep].tolist(), 0.25, 0.45
        )
        _ = boxes[keep][found_at] / scale
        count += 1


@contextlib.contextmanager
def server(data: Path) -> Iterator[float]:
    """A running server; gives the seconds to ready."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "server.cli", "serve", "--data", str(data), "--port", str(PORT)],
        stderr=(data / "log").open("wb"),
    )
    try:
        while True:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"http://127.0.0.1:{PORT}/health/ready").status_code == 200:
                    break
            if process.poll() is not None:
                sys.exit((data / "log").read_text())
            time.sleep(0.02)
        yield time.perf_counter() - start
    finally:
        process.terminate()
        process.wait()


def post(video: Path) -> float:
    """Frames a second from POST to done."""
    base = f"http://127.0.0.1:{PORT}/v1/jobs"
    start = time.perf_counter()
    with video.open("rb") as file, httpx.Client(timeout=120) as client:
        job = client.post(base, files={"file": (video.name, file)}, data={"model": "yolox-nano"}).raise_for_status()
        while True:
            state = client.get(f"{base}/{job.json()['id']}?wait=60").raise_for_status().json()
            if state["state"] not in ("queued", "running"):
                break
    seconds = time.perf_counter() - start
    if state["state"] != "done":
        sys.exit(f"the job is {state['state']}: {state.get('error')}")
    return sum(state["frames"].values()) / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description="One video by POST against the ceiling and a plain loop.")
    parser.add_argument("--video", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True, help="YOLOX-Nano as ONNX")
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        vidserve = [sys.executable, "-m", "server.cli", "models"]
        named = ["--family", "yolox", "--name", "yolox-nano", "--labels", options.labels, "--data", data]
        subprocess.run([*vidserve, "import", options.model, *named], check=True)
        subprocess.run([*vidserve, "default", "yolox-nano", "--data", data], check=True)
        bundle = data / "models" / "yolox-nano" / "1"
        frames = [letterbox(frame)[0] for frame in read(options.video)]
        cores = len(os.sched_getaffinity(0))
        candidates = [(s, t) for s in range(1, cores + 1) for t in range(1, cores + 1) if s * t <= cores]
        best = max(candidates, key=lambda pair: ceiling(bundle, frames[:60], *pair))
        figures: dict[str, list[float]] = {"ceiling": [], "plain": [], "server": [], "ready": []}
        measures: dict[str, Callable[[], float]] = {
            "ceiling": lambda: ceiling(bundle, frames, *best),
            "plain": lambda: plain(options.model, options.video),
        }
        for _ in range(options.runs):
            for name, measure in measures.items():
                figures[name].append(measure())
            with server(data) as ready:
                figures["ready"].append(ready)
                post(options.video)  # the first job of a worker imports the tracker
                figures["server"].append(post(options.video))
    medians = {name: statistics.median(values) for name, values in figures.items()}
    print(f"\n{options.video.name}, {len(frames)} frames, {cores} cores, ONNX Runtime {ort.__version__}")
    print(f"ceiling   {medians['ceiling']:6.1f} frames/s  ({best[0]} sessions × {best[1]} threads)")
    print(f"plain     {medians['plain']:6.1f} frames/s")
    print(f"server    {medians['server']:6.1f} frames/s  {medians['server'] / medians['ceiling']:.2f} of the ceiling,")
    print(f"{'':27}{medians['server'] / medians['plain']:.2f} × the plain loop")
    print(f"ready     {medians['ready']:6.2f} s")
    if options.json:
        options.json.write_text(json.dumps({"figures": figures, "medians": medians}, indent=2))


if __name__ == "__main__":
    main()
