from server.runtime.models.place import place


def test_a_stream_stays_with_its_engine():
    assert {place("s", "m@1", ["ipc://a"]) for _ in range(3)} == {"ipc://a"}
