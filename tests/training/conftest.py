import sys
from pathlib import Path

import pytest
import torch

# Builders that several test modules of this folder share.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Nets of tests are so small that threads only wait for each other."""
    torch.set_num_threads(1)
