"""What `gate: motion` gains, and what it loses: frames a second and tracks, with it and without.

Which tracks are lost says benchmarks/matching.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from statistics import median

from benchmarks.matching import long, lost, tracks
from benchmarks.serving import Done, serving
from benchmarks.stage import MODEL, MOVING, Stage
from benchmarks.table import Row, at_least, spread, told

BOUND = 2.0
ANALYSES = {"every frame": {"model": MODEL}, "gated": {"model": MODEL, "gate": "motion"}}


def rows(stage: Stage) -> Iterator[Row]:
    with serving(stage.data, engine__models=f"{MODEL},{MOVING}") as server:
        server.run([stage.video] * 4, ANALYSES["gated"])
        for number, video in enumerate(stage.gated):
            fps: defaultdict[str, list[float]] = defaultdict(list)
            last: dict[str, Done] = {}
            for _ in range(stage.runs):
                for name, analysis in ANALYSES.items():
                    last[name] = server.run([video], analysis)
                    fps[name].append(last[name].fps)
            gain = median(fps["gated"]) / median(fps["every frame"])
            frames = last["gated"].jobs[0]["frames"]
            note = ", ".join(
                [f"{name} {spread(values, 'frames/s')}" for name, values in fps.items()]
                + [f"{outcome} {number}" for outcome, number in frames.items() if number]
            )
            what = f"gate: motion on {video.name}"
            if number == 0:
                yield at_least(f"{what}, against every frame", gain, BOUND, note, unit="×")
            else:
                yield told(f"{what}, against every frame", f"{gain:.2f}×", note)
            whole, gated = (tracks(server.rows(last[name].jobs[0]["id"])) for name in ANALYSES)
            gone = lost(whole, gated)
            who = ", ".join(f"{t.label} {t.times[0]:.1f}…{t.times[-1]:.1f} s" for t in gone)
            got = f"{len(gone)} of {len(long(whole))}"
            yield Row(f"{what}, tracks of more than a second lost", "none", got, not gone, who)
