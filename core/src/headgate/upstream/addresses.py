"""Which addresses the gateway may connect to.

The standard library's `is_private` and `is_global` miss ranges that reach inside a network (shared space 100.64/10,
NAT64, 6to4, site-local, Azure's wire server), so the ranges are written out here.
Sources: IANA special-purpose address registries for IPv4 and IPv6.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address

_PRIVATE = tuple(
    ip_network(text)
    for text in (
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::1/128",
        "fc00::/7",
    )
)
_NEVER = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "168.63.129.16/32",  # Azure's wire server
        "169.254.0.0/16",  # link-local, cloud metadata
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/96",  # IPv4-compatible, and the unspecified address
        "::ffff:0:0:0/96",  # IPv4-translated (RFC 2765)
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",  # 6to4, which wraps any IPv4 address and is no longer in use (RFC 7526)
        "3fff::/20",
        "5f00::/16",
        "fe80::/10",
        "fec0::/10",
        "fd00:ec2::254/128",  # AWS metadata over IPv6
        "ff00::/8",
    )
)
_NAT64 = ip_network("64:ff9b::/96")
_NAT64_LOCAL = ip_network("64:ff9b:1::/48")
_LOOPBACK = ip_address("::1")


def denied_reason(host: str, *, allow_private: bool, is_literal: bool = False) -> str:
    """Why an address must not be connected to; empty when it may.

    `allow_private` admits private and loopback ranges; `is_literal` says the operator wrote this very address into a
    base URL, which admits it whatever it is.
    """
    try:
        address = _unwrap(ip_address(host.partition("%")[0]))
    except ValueError:
        return f"`{host}` is no address"
    if is_literal:
        return ""
    if address != _LOOPBACK and (_in(address, _NEVER) or address in _NAT64_LOCAL):
        return f"{address} is a reserved or link-local address"
    if _in(address, _PRIVATE) and not allow_private:
        return f"{address} is a private address"
    return ""


def _unwrap(address: Address) -> Address:
    """The IPv4 address inside a mapped or NAT64 IPv6 address, since that is where the packet ends up."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _in(address: Address, networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
