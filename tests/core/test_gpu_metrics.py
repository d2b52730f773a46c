from __future__ import annotations

from types import SimpleNamespace

import pynvml
import pytest
from prometheus_client import CollectorRegistry

from server.core.gpu_metrics import GpuCollector


def found() -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(GpuCollector())
    return registry


def fails(error: int):
    def fail(*_: object) -> None:
        raise pynvml.NVMLError(error)

    return fail


@pytest.fixture
def two_gpus(monkeypatch):
    """A driver with two GPUs, each handle its number: 25 % and 1 GiB, 50 % and 2 GiB."""
    answers = {
        "nvmlInit": lambda: None,
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda gpu: gpu,
        "nvmlDeviceGetUtilizationRates": lambda gpu: SimpleNamespace(gpu=25 * (gpu + 1), memory=1),
        "nvmlDeviceGetMemoryInfo": lambda gpu: SimpleNamespace(used=(gpu + 1) << 30, total=8 << 30, free=0),
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, answer)


def test_each_gpu_tells_how_busy_it_is_and_how_full(two_gpus):
    metrics = found()
    assert metrics.get_sample_value("vidserve_gpu_utilization_ratio", {"gpu": "0"}) == 0.25
    assert metrics.get_sample_value("vidserve_gpu_utilization_ratio", {"gpu": "1"}) == 0.5
    assert metrics.get_sample_value("vidserve_gpu_memory_used_bytes", {"gpu": "1"}) == 2 << 30


def test_what_a_gpu_does_not_tell_is_absent(two_gpus, monkeypatch):
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUtilizationRates", fails(pynvml.NVML_ERROR_NOT_SUPPORTED))
    metrics = found()
    assert metrics.get_sample_value("vidserve_gpu_utilization_ratio", {"gpu": "0"}) is None
    assert metrics.get_sample_value("vidserve_gpu_memory_used_bytes", {"gpu": "0"}) == 1 << 30


def test_a_gpu_that_is_lost_leaves_the_other_one(two_gpus, monkeypatch):
    lost = fails(pynvml.NVML_ERROR_GPU_IS_LOST)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda gpu: lost() if gpu == 0 else gpu)
    metrics = found()
    assert metrics.get_sample_value("vidserve_gpu_memory_used_bytes", {"gpu": "0"}) is None
    assert metrics.get_sample_value("vidserve_gpu_memory_used_bytes", {"gpu": "1"}) == 2 << 30


def test_without_a_driver_there_are_no_samples(monkeypatch):
    monkeypatch.setattr(pynvml, "nvmlInit", fails(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND))
    assert not [sample for family in found().collect() for sample in family.samples]
