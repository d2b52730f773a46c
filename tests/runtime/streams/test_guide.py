"""docs/cameras.md says what there is."""

from pathlib import Path

import pytest

from server.domain.outcome import OUTCOMES
from server.domain.stream import StreamState

PAGE = (Path(__file__).parents[3] / "docs" / "cameras.md").read_text()


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_every_end_of_a_frame_is_named_where_they_add_up(outcome):
    _, _, rest = PAGE.partition("**Every frame that a camera delivers ends as one of**")
    assert f"`{outcome}`" in rest.partition("they add up")[0]


@pytest.mark.parametrize("state", StreamState)
def test_every_state_of_a_stream_has_a_row(state):
    assert f"\n| `{state}` |" in PAGE
