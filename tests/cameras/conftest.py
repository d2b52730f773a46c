import pytest

from tests.cameras import rtsp


@pytest.fixture(scope="session")
def _gstreamer() -> None:
    """Skips what needs an RTSP server where there can be none."""
    if reason := rtsp.missing():
        pytest.skip(reason)
