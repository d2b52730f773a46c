from __future__ import annotations

import socket

import pytest

from server.commands.address import AddressRefused, listen, listen_from, url_of


def test_port_0_takes_a_free_one_and_the_url_names_it() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert port > 0
        assert url_of(listener) == f"http://127.0.0.1:{port}"


def test_the_url_of_every_address_is_that_of_this_machine() -> None:
    with listen("0.0.0.0", 0) as listener:
        assert url_of(listener).startswith("http://127.0.0.1:")


def test_a_taken_port_is_refused_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(AddressRefused) as caught:
            listen("127.0.0.1", port)
    assert f"Port {port} is taken" in caught.value.message
    assert f"--port {port + 1}" in str(caught.value.hint)


def test_the_next_free_port_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with listen_from("127.0.0.1", taken) as listener:
            assert listener.getsockname()[1] > taken


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1"])
def test_an_address_of_nobody_or_of_another_machine_is_refused(host: str) -> None:
    with pytest.raises(AddressRefused):
        listen(host, 0)
