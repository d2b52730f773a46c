import socket

import pytest

from server.core.addresses import AddressPolicy, checked_addresses, refusal
from server.core.errors import AddressRefused


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.0.9",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "100.100.100.200",
        "169.254.169.254",
        "168.63.129.16",
        "192.0.0.192",
        "198.18.0.1",
        "224.0.0.1",
        "239.1.2.3",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:10.0.0.1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "64:ff9b::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
    ],
)
def test_an_address_that_is_not_public_is_refused(address):
    assert refusal(address)


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "1.1.1.1", "172.32.0.1", "2606:4700::1111", "::ffff:93.184.216.34", "64:ff9b::101:101"]
)
def test_a_public_address_is_not(address):
    assert refusal(address) is None


def test_a_name_is_no_address():
    with pytest.raises(ValueError, match="example"):
        refusal("example.com")


@pytest.mark.parametrize(
    "address", ["10.1.2.3", "172.16.0.1", "192.168.1.64", "100.64.0.1", "fd12::1", "::ffff:10.0.0.1"]
)
def test_a_camera_may_be_in_a_private_network_unless_the_settings_say_otherwise(address):
    assert AddressPolicy().refusal(address) is None
    assert AddressPolicy(private=False).refusal(address) == "private"
    with pytest.raises(AddressRefused, match="allow_private"):
        AddressPolicy(private=False).check(address, address)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_a_camera_may_be_on_this_machine_only_if_the_settings_say_so(address):
    assert AddressPolicy(loopback=True).refusal(address) is None
    with pytest.raises(AddressRefused, match="allow_loopback"):
        AddressPolicy().check("camera", address)


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "100.100.100.200", "168.63.129.16", "fd00:ec2::254", "fe80::1", "0.0.0.0", "224.0.0.1", "::"],
)
def test_no_setting_allows_link_local_metadata_or_reserved_addresses(address):
    with pytest.raises(AddressRefused) as refused:
        AddressPolicy(private=True, loopback=True).check("camera", address)
    assert "No setting allows it" in refused.value.hint


def test_a_camera_that_is_wired_to_this_machine_is_told_to_take_a_fixed_address():
    with pytest.raises(AddressRefused) as refused:
        AddressPolicy().check("169.254.17.4", "169.254.17.4")
    assert "fixed addresses, such as 192.168.50.20" in refused.value.hint


def test_every_address_of_a_name_is_checked():
    assert set(checked_addresses("localhost", 80, AddressPolicy(loopback=True))) <= {"127.0.0.1", "::1"}
    with pytest.raises(AddressRefused, match="'localhost' is"):
        checked_addresses("localhost", 80, AddressPolicy())


def test_an_unknown_name_is_an_error_of_the_system():
    with pytest.raises(socket.gaierror):
        checked_addresses("no-such-host.invalid", 80, AddressPolicy())
