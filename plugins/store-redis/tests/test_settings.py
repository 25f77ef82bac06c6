"""Which addresses and settings are taken, and what is said of those that are not."""

from __future__ import annotations

from typing import Any

import pytest

from headgate import Secret
from headgate.upstream import Tls
from headgate_store_redis import StoreRedisConfig
from headgate_store_redis.settings import Endpoint, address_of, endpoint_of


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://", Endpoint("redis", ("127.0.0.1", 6379))),
        ("redis://cache", Endpoint("redis", ("cache", 6379))),
        ("redis://cache:7000/2", Endpoint("redis", ("cache", 7000), "", "", 2)),
        ("rediss://us%40er@cache/", Endpoint("rediss", ("cache", 6379), "", "us@er")),
        ("redis://[::1]:7000", Endpoint("redis", ("::1", 7000))),
        ("unix:///run/redis.sock", Endpoint("unix", ("", 0), "/run/redis.sock")),
        ("unix:///run/my%20redis", Endpoint("unix", ("", 0), "/run/my redis")),
    ],
)
def test_urls(url: str, expected: Endpoint) -> None:
    """The three schemes, with everything they may hold."""
    assert endpoint_of(url) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a", ("a", 26379)), ("a:1", ("a", 1)), ("[::1]:1", ("::1", 1)), ("10.0.0.1", ("10.0.0.1", 26379))],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    """A host, with or without a port."""
    assert address_of(text, 26379) == expected


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"url": "http://cache"}, "must begin with"),
        ({"url": "cache:6379"}, "must begin with"),
        ({"url": "redis://:s3cret@cache"}, "put it into `password`"),
        ({"url": "redis://cache?ssl_cert_reqs=none"}, "has a query"),
        ({"url": "redis://cache/zero"}, "number of a database"),
        ({"url": "redis://cache:s3cret"}, "no number below 65536"),
        ({"url": "redis://cache:70000"}, "no number below 65536"),
        ({"url": "redis://[::1"}, "is no address"),
        ({"url": "unix://run/redis.sock"}, "three slashes"),
        ({"url": "redis://gate@cache"}, "a user without `password`"),
        ({"sentinels": ["a"]}, "go together"),
        ({"service": "main"}, "go together"),
        ({"sentinels": ["a/b"], "service": "main"}, "`a/b` must be"),
        ({"sentinels": ["a:b"], "service": "main"}, "no number below 65536"),
        ({"sentinels": ["a"], "service": "main", "cluster": True}, "cannot both be had"),
        ({"nodes": ["a"]}, "set `cluster: true`"),
        ({"cluster": True, "url": "redis://cache/1"}, "database 0 only"),
        ({"cluster": True, "url": "unix:///run/redis.sock"}, "a socket is one server"),
        ({"tls": Tls("ca.pem")}, "begins with `rediss://`"),
    ],
)
def test_what_is_refused(settings: dict[str, Any], words: str) -> None:
    """Each mistake is named with its fix, and without what may be a secret."""
    with pytest.raises(ValueError, match=words) as caught:
        StoreRedisConfig(**settings)
    assert "s3cret" not in str(caught.value)


def test_every_mistake_is_told() -> None:
    """Several mistakes make one message."""
    with pytest.raises(ValueError, match=r"go together; .*cluster: true") as caught:
        StoreRedisConfig(service="main", nodes=["a"])
    assert str(caught.value).count(";") == 1


def test_a_password_does_not_show() -> None:
    """Settings may be printed."""
    assert "s3cret" not in repr(StoreRedisConfig(url="redis://gate@cache", password=Secret("s3cret")))
