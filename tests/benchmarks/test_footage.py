import itertools
from pathlib import Path

from benchmarks.flatness import quarters
from benchmarks.footage import count, decoding_cpu_s, repeated
from model_export.video import open_video

SAMPLE = Path(__file__).parents[2] / "server" / "samples" / "street.mp4"


def test_a_video_again_and_again_is_as_much_longer_and_its_time_goes_on(tmp_path):
    longer = tmp_path / "longer.mp4"
    repeated(SAMPLE, 2, longer)
    frames = count(SAMPLE)
    assert count(longer) == 2 * frames
    times = []
    with open_video(longer) as video:
        while video.grab():
            times.append(video.pts_s)
    assert len(times) == 2 * frames
    assert times == sorted(times)
    assert max(late - early for early, late in itertools.pairwise(times)) < 0.2


def test_decoding_costs_something():
    assert 0 < decoding_cpu_s(SAMPLE) < 1


def test_the_quarters_of_a_job_are_medians_of_all_processes():
    samples = [{"API": 10.0, "engine": float(n)} for n in (1, 2, 9, 4, 5, 6, 7, 8, 8, 90, 9, 10)]
    assert quarters(samples) == (12.0, 20.0)
    assert quarters([{"API": 3.0}]) == (3.0, 3.0)
