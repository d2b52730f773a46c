import json

from server.events.item import OwnerKind
from server.events.states import States


def test_changes_of_state_have_numbers_that_rise_within_a_millisecond_too():
    states = States()
    said = [json.loads(states.event(OwnerKind.JOB, "j", "running")) for _ in range(100)]
    assert len({event["id"] for event in said}) == 100
    assert [event["seq"] for event in said] == sorted(event["seq"] for event in said)


def test_a_state_says_whose_it_is_when_it_began_and_why():
    said = json.loads(States().event(OwnerKind.STREAM, "cam", "failed", code="no_device", message="It is gone."))
    assert said["id"] == f"cam-s{said['seq']}"
    assert (said["type"], said["stream"], said["state"]) == ("stream_state", "cam", "failed")
    assert (said["code"], said["message"]) == ("no_device", "It is gone.")
    assert said["at"].endswith("Z")
    assert "job" not in said
