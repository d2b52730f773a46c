"""How busy the GPUs are and how full, asked of NVIDIA's driver at each scrape."""

from __future__ import annotations

from collections.abc import Iterable

import pynvml
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector


class GpuCollector(Collector):
    """The GPUs that this process may see, by their number. Where there is no driver there are no samples.

    What a GPU does not tell, or no longer, is absent: some virtual ones have no utilisation, and one may fall off the
    bus.
    """

    def __init__(self) -> None:
        try:
            pynvml.nvmlInit()
            self._gpus = range(pynvml.nvmlDeviceGetCount())
        except pynvml.NVMLError:
            self._gpus = range(0)

    def collect(self) -> Iterable[Metric]:
        busy = GaugeMetricFamily(
            "vidserve_gpu_utilization_ratio",
            "Share of the last moments in which the GPU ran something.",
            labels=["gpu"],
        )
        used = GaugeMetricFamily(
            "vidserve_gpu_memory_used_bytes", "Memory of the GPU in use, by anybody.", labels=["gpu"]
        )
        for gpu in self._gpus:
            try:
                handle = pynvml.nvmlDeviceGetHandleByIndex(gpu)
                used.add_metric([str(gpu)], pynvml.nvmlDeviceGetMemoryInfo(handle).used)
                busy.add_metric([str(gpu)], pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100)
            except pynvml.NVMLError:
                continue
        yield busy
        yield used
