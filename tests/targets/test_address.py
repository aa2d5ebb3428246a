from __future__ import annotations

from pathlib import Path

import pytest

from compress.errors import TargetError
from compress.targets.address import Address, parse_address
from compress.targets.target import load_target


@pytest.mark.parametrize(
    ("text", "address", "arguments"),
    [
        ("ssh://pi", Address("pi"), ("pi",)),
        ("ssh://pi@10.0.0.7:2222", Address("10.0.0.7", "pi", 2222), ("-p", "2222", "pi@10.0.0.7")),
        ("ssh://pi@[fe80::1%eth0]:22", Address("fe80::1%eth0", "pi", 22), ("-p", "22", "pi@fe80::1%eth0")),
    ],
)
def test_addresses(text: str, address: Address, arguments: tuple[str, ...]):
    assert parse_address(text) == address
    assert parse_address(text).arguments == arguments
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        "pi", "pi@host", "http://host", "ssh://", "ssh://-oProxyCommand=x", "ssh://-l@host", "ssh://pi:secret@host",
        "ssh://host:0", "ssh://host:65536", "ssh://host/path", "ssh://ho st", "ssh://host\n", "ssh://$(id)@host",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_with_an_example(text: str):
    with pytest.raises(TargetError, match="ssh://user@host"):
        parse_address(text)


def test_a_targets_file_says_where_the_device_is(tmp_path: Path):
    shipped = Path(load_target.__globals__["DEVICES"]) / "raspberry-pi-5.yaml"
    mine = tmp_path / "mine.yaml"
    mine.write_text(shipped.read_text() + "connect: ssh://pi@raspberrypi.local\n")
    assert load_target(str(mine)).connect == "ssh://pi@raspberrypi.local"
    mine.write_text(shipped.read_text() + "connect: raspberrypi.local\n")
    with pytest.raises(TargetError, match=r"connect: .*is no address"):
        load_target(str(mine))
