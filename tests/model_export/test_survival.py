import sys

import pytest
from compress_builders import conv_graph

from model_export.survival import survives


@pytest.mark.parametrize("content", [conv_graph(), conv_graph(recurrent=True), b"no graph"])
def test_what_runs_and_what_cannot_be_loaded_does_no_harm(content):
    assert survives(content)


def test_what_crashes_the_process_that_loads_it_is_found_out():
    assert not survives(b"", look=(sys.executable, "-c", "import os; os.kill(os.getpid(), 11)"))
