"""Which addresses may be connected to: every range that reaches inside a network is denied, however it is written."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.dialects.google.facts import type_of_url
from headgate.errors import ProviderFailed
from headgate.upstream import UpstreamRequest, origin_of
from headgate.upstream.addresses import denied_reason
from headgate.upstream.h1_request import Route

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "168.63.129.17",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2001:4860:4860::8888",
    "2a00:1450:4001:81b::200e",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
]
PRIVATE = [
    "10.0.0.0",
    "10.255.255.255",
    "100.64.0.0",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.255",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "192.168.255.255",
    "::1",
    "fc00::1",
    "fd00::1",
    "fdff:ffff::1",
    "::ffff:10.0.0.1",
    "::ffff:7f00:1",
    "::FFFF:192.168.1.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::7f00:1",
]
NEVER = [
    "0.0.0.0",
    "0.1.2.3",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "192.0.0.1",
    "192.0.0.8",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "3fff::1",
    "5f00::1",
    "fe80::1",
    "febf::1",
    "fe80::1%eth0",
    "fe80::1%25eth0",
    "fec0::1",
    "feff::1",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "::ffff:168.63.129.16",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::a00:1",
    "64:ff9b:1:ffff::1",
    "2002:a9fe:a9fe::",
    "2002:808:808::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2002:c0a8:101::",
    "2002:a83f:8110::1",
]
NO_ADDRESS = [
    "",
    "localhost",
    "127.1",
    "0177.0.0.1",
    "2130706433",
    "0x7f.0.0.1",
    "127.0.0.1.",
    "1.2.3.4/8",
    "\uff11.1.1.1",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_reached(address: str) -> None:
    """Addresses of the open internet, and the neighbours of every denied range."""
    assert denied_reason(address, allow_private=False) == ""


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_need_permission(address: str) -> None:
    """Loopback, private, shared and unique local addresses, also inside IPv6, are reached only where allowed."""
    assert "private" in denied_reason(address, allow_private=False)
    assert denied_reason(address, allow_private=True) == ""


@pytest.mark.parametrize("address", NEVER)
def test_reserved_addresses_are_never_reached_by_name(address: str) -> None:
    """Metadata services, link-local, multicast and reserved ranges are denied even where private ones are allowed."""
    assert denied_reason(address, allow_private=False)
    assert denied_reason(address, allow_private=True)


@pytest.mark.parametrize(
    "address", ["::127.0.0.1", "::10.0.0.1", "::a9fe:a9fe", "::ffff:0:127.0.0.1", "::ffff:0:169.254.169.254"]
)
def test_older_forms_of_ipv4_in_ipv6_are_no_way_around(address: str) -> None:
    """IPv4-compatible (RFC 4291) and IPv4-translated (RFC 2765) addresses of denied ranges are denied."""
    assert denied_reason(address, allow_private=False)


@pytest.mark.parametrize("address", ["169.254.169.254", "10.0.0.1", "fe80::1", "8.8.8.8", "::1"])
def test_an_address_the_operator_wrote_is_reached(address: str) -> None:
    """An address that stands in a base URL is the operator's own word."""
    assert denied_reason(address, allow_private=True, is_literal=True) == ""


@pytest.mark.parametrize("text", NO_ADDRESS)
def test_what_is_no_address_is_denied(text: str) -> None:
    """Short, octal, decimal and other historic forms never count as an address, not even the operator's."""
    for is_literal in (False, True):
        assert "no address" in denied_reason(text, allow_private=True, is_literal=is_literal)


@settings(deadline=None)
@given(st.ip_addresses(v=4), st.booleans())
def test_an_address_inside_ipv6_is_judged_as_itself(address: IPv4Address, allow_private: bool) -> None:
    """Mapped and NAT64 forms are denied exactly when the IPv4 address inside is."""
    number = int(address)
    forms = [
        IPv6Address((0xFFFF << 32) | number),
        IPv6Address((0x64FF9B << 96) | number),
    ]
    expected = bool(denied_reason(str(address), allow_private=allow_private))
    for form in forms:
        assert bool(denied_reason(str(form), allow_private=allow_private)) == expected, form


@settings(deadline=None)
@given(st.ip_addresses())
def test_what_the_standard_library_calls_not_global_is_denied(address: IPv4Address | IPv6Address) -> None:
    """The written-out list is never laxer than `ipaddress`, where that one is right."""
    if not address.is_global:
        assert denied_reason(str(address), allow_private=False)


@settings(deadline=None)
@given(st.text())
def test_any_text_is_judged(text: str) -> None:
    """No text makes the judge fail."""
    assert isinstance(denied_reason(text, allow_private=False), str)


LONG = ["a" * 1_000_000, "\u0315" * 200_000 + "\u0300" * 200_000, "é" * 2_000_000, "é." * 1_000_000]
"""Hosts that no DNS holds; what makes plain names of the last three would take minutes for them."""


@pytest.mark.parametrize("host", LONG, ids=["letters", "marks", "é", "labels"])
@pytest.mark.parametrize("start", ["https://", "HTTP://", " https:/\t/", "https://x@", "//"])
def test_a_host_too_long_is_refused_unread(host: str, start: str) -> None:
    """However the URL is written."""
    with pytest.raises(ValueError, match="URL"):
        origin_of(f"{start}{host}/a")
    with pytest.raises(ProviderFailed):
        Route.from_request(UpstreamRequest("GET", f"{start}{host}:443/a"))


def test_the_longest_host_is_read() -> None:
    """253 characters and a port; what stands behind it may be longer."""
    name = ".".join(["a" * 49] * 5 + ["com"])
    assert len(name) == 253
    assert origin_of(f"https://{name}:44300/{'a' * 5000}?{'a' * 5000}") == f"https://{name}:44300"


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://a.example/b.PNG?c=d.pdf#e.gif", "image/png"),
        ("https://a.example/b.pdf#?", "application/pdf"),
        ("gs://bucket/a/b.mov", "video/mov"),
        ("files/a.csv", "text/csv"),
        ("a.md", "text/markdown"),
        ("https://pictures.mov", None),
        ("https://pictures.mov/", None),
        ("https://a.example/png", None),
        ("http://[a.png", None),
        *[(f"https://{host}/a.webp", "image/webp") for host in LONG],
    ],
    ids=lambda value: str(value)[:40].encode("ascii", "replace").decode(),
)
def test_the_ending_of_a_path_tells_its_type(url: str, kind: str | None) -> None:
    """That of the path alone, whatever the host is."""
    assert type_of_url(url) == kind
