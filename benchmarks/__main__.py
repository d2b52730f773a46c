"""`make bench`: every figure of the README, in one run.

    python -m benchmarks --data ../shared/data [--only speed,memory] [--runs 5] [--json FILE]
    python -m benchmarks --video car.mp4 --model yolox_nano.onnx --labels coco.names
    python -m benchmarks --only cameras,age,growth,beside,swap,kills,outage [--seconds 60] [--times 2]
    python -m benchmarks --data ../shared/data --only export,shapes,mnist,cells,fights,reading
    python -m benchmarks --only compress [--run runs/fights-0]
    python -m benchmarks --data ../shared/data --only gpu-answers,gpu-engine,gpu-state,gpu-server,gpu-training

The parts about cameras need no data, nor do `export`, `compress` and `shapes`. Measures first how models run fastest
here, as `vidserve bench` does, then each part in a process of its own. Prints a table of what is wanted and what was
got; ends with 1 if anything was missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.part import PARTS, USUAL, WITHOUT_MODEL, measured
from benchmarks.serving import import_model, measure_model
from benchmarks.stage import MODEL, MOVING, Stage
from benchmarks.table import Row, formatted

STREET = Path(__file__).parents[1] / "server" / "samples" / "street.mp4"


def main() -> int:
    options = _options()
    facts = _facts(options)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="vidserve-bench-") as folder:
        stage = _stage(options, Path(folder))
        for name in options.only:
            print(f"Measuring {name} …", file=sys.stderr, flush=True)
            rows += measured(name, stage)
    print(f"\n{', '.join(f'{name} {value}' for name, value in facts.items())}\n\n{formatted(rows)}")
    if options.json:
        options.json.write_text(json.dumps({"facts": facts, "rows": [asdict(row) for row in rows]}, indent=2))
    return int(any(row.ok is False for row in rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Every figure of the README, in one run.")
    parser.add_argument("--data", type=Path, help="a folder with videos/car-detection.mp4, onnx/yolox_nano.onnx, …")
    parser.add_argument("--video", type=Path, help="another video than the folder's")
    parser.add_argument("--model", type=Path, help="YOLOX-Nano as ONNX")
    parser.add_argument("--labels", type=Path, help="its labels, one a line")
    parser.add_argument("--runs", type=int, default=5, help="how often each figure is taken")
    parser.add_argument("--frames", type=int, default=10_000, help="of the long video")
    parser.add_argument("--only", type=_parts, default=USUAL, help=f"some of {','.join(PARTS)}")
    parser.add_argument("--seconds", type=float, default=60, help="how long cameras are watched")
    parser.add_argument("--times", type=int, default=2, help="how often processes are killed and cameras go away")
    parser.add_argument("--run", type=Path, help="a run of the trainer, to be compressed")
    parser.add_argument("--without-rival", action="store_true", help="do not install and run InferencePipeline")
    parser.add_argument("--json", type=Path, help="write the table here too")
    options = parser.parse_args()
    if set(options.only) <= WITHOUT_MODEL:
        options.model = None
        return options
    if options.data is not None:
        options.video = options.video or options.data / "videos" / "car-detection.mp4"
        options.model = options.model or options.data / "onnx" / "yolox_nano.onnx"
        options.labels = options.labels or options.data / "onnx" / "coco.names"
    for name in ("video", "model", "labels"):
        path = getattr(options, name)
        if path is None:
            parser.error(f"give --data, or --video, --model and --labels; there is no --{name}")
        if not path.is_file():
            parser.error(f"{path} is not a file")
    return options


def _parts(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    for name in names:
        if name not in PARTS:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(PARTS)}")
    return names


def _stage(options: argparse.Namespace, folder: Path) -> Stage:
    if options.model is not None:
        import_model(folder, options.model, options.labels, MODEL)
        for model in (MODEL, MOVING):
            measure_model(folder, model)
    video = (options.video or STREET).resolve()
    videos = [options.data / "videos" / name for name in ("vtest.avi", "shop.mp4")] if options.data else []
    videos = [video.resolve() for video in videos if video.is_file()]
    return Stage(
        data=folder,
        given=options.data and options.data.resolve(),
        original=options.model and options.model.resolve(),
        street=STREET,
        video=video,
        gated=(video, *(video for video in videos if video.name == "vtest.avi")),
        large=next((video for video in videos if video.name == "shop.mp4"), None),
        runs=options.runs,
        long_frames=options.frames,
        cache=Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vidserve-benchmarks",
        with_rival=not options.without_rival,
        seconds=options.seconds,
        times=options.times,
        run=options.run and options.run.resolve(),
    )


def _facts(options: argparse.Namespace) -> dict[str, str]:
    """What the figures are taken on."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.partition(":")[2].strip() for line in info if line.startswith("model name")), platform.machine())
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    return {
        "video": (options.video or STREET).name,
        "runs": str(options.runs),
        "processor": f"{cpu}, {len(os.sched_getaffinity(0))} cores",
        "load before": f"{os.getloadavg()[0]:.1f}",
        "Python": platform.python_version(),
        "OpenCV": _version("opencv-python"),
        "ONNX Runtime": _version("onnxruntime-gpu", "onnxruntime"),
        "commit": commit or "unknown",
    }


def _version(*names: str) -> str:
    """Of the first of these packages that is installed."""
    for name in names:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "unknown"


if __name__ == "__main__":
    sys.exit(main())
