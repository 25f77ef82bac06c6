"""Content encodings are undone within bounds, in whatever pieces they come, and anything odd about them is refused."""

from __future__ import annotations

import gzip
import random
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.errors import ProviderFailed
from headgate.upstream.decoding import MAX_DECODED_BYTES, MAX_RATIO, STEP_BYTES, Decoder, decoder_for

ENCODERS = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress}
INFLATE = zlib.decompressobj
NOISE = random.Random(5).randbytes(3 * STEP_BYTES)


def decoder(encoding: str) -> Decoder:
    found = decoder_for(encoding)
    assert found is not None
    return found


def decoded(encoding: str, pieces: list[bytes]) -> bytes:
    held = decoder(encoding)
    out = [part for piece in pieces for part in held.feed(piece)]
    held.end()
    assert all(0 < len(part) <= STEP_BYTES for part in out)
    return b"".join(out)


def pieces_of(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("name", ["", "identity", " Identity "])
def test_identity_needs_no_decoder(name: str) -> None:
    """What was asked for needs nothing undone."""
    assert decoder_for(name) is None


@pytest.mark.parametrize("name", ["br", "zstd", "compress", "gzip, gzip", "gzip;q=1", "chunked", "*", "ﬀ"])
def test_encodings_nobody_asked_for_are_refused(name: str) -> None:
    """An unknown or stacked encoding is the provider's failure."""
    with pytest.raises(ProviderFailed) as caught:
        decoder_for(name)
    assert caught.value.error_code == "upstream_bad_encoding"


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("size", [1, 7, 1000, 10**9])
@pytest.mark.parametrize("body", [b"", b"x", b"hello " * 50_000, NOISE], ids=["empty", "one", "text", "noise"])
def test_a_body_in_any_pieces(name: str, size: int, body: bytes) -> None:
    """The same bytes come out, in steps of at most 256 KiB, however the encoded body was cut."""
    encoded = ENCODERS[name](body)
    if size == 1 and len(encoded) > 10_000:
        size = 61
    assert decoded(name.upper(), pieces_of(encoded, size)) == body


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(1, 40))
def test_any_body_survives(body: bytes, size: int) -> None:
    """Whatever the body is."""
    assert decoded("gzip", pieces_of(gzip.compress(body), size)) == body


@pytest.mark.parametrize("name", ["gzip", "deflate"])
def test_a_body_cut_anywhere_is_refused(name: str) -> None:
    """Every proper beginning of an encoded body is a cut one, the empty one too."""
    encoded = ENCODERS[name](b"hello hello hello")
    for end in range(len(encoded)):
        held = decoder(name)
        held.feed(encoded[:end])
        with pytest.raises(ProviderFailed, match="cut short"):
            held.end()


@pytest.mark.parametrize("name", ["gzip", "deflate"])
@pytest.mark.parametrize("at", [0, 1, 10, 20, -1, -3])
def test_a_broken_body_is_refused(name: str, at: int) -> None:
    """A flipped byte is found: in the header, in the data, or in the checksum."""
    encoded = bytearray(ENCODERS[name](NOISE[:100]))
    encoded[at] ^= 0xFF
    with pytest.raises(ProviderFailed) as caught:
        decoded(name, [bytes(encoded)])
    assert caught.value.error_code == "upstream_bad_encoding"


@settings(deadline=None)
@given(st.binary(min_size=3, max_size=60))
def test_garbage_is_refused(data: bytes) -> None:
    """Bytes that are no gzip are refused, and nothing but ProviderFailed is raised."""
    with pytest.raises(ProviderFailed):
        decoded("gzip", [data])


@pytest.mark.parametrize("size", [1, 5, 10**9])
@pytest.mark.parametrize("tail", [b"x", gzip.compress(b"second"), b"\x00" * 8], ids=["byte", "member", "zeros"])
def test_data_after_the_body_is_refused(size: int, tail: bytes) -> None:
    """What follows the end of the encoded body is refused, whether it comes with it or in a later piece."""
    with pytest.raises(ProviderFailed, match="after"):
        decoded("gzip", pieces_of(gzip.compress(b"body") + tail, size))
    with pytest.raises(ProviderFailed, match="after"):
        decoded("gzip", [gzip.compress(b"body"), tail])


def test_a_bomb_by_ratio_is_stopped_early() -> None:
    """200 to 1 is the limit once a mebibyte is out: far less than the whole is ever decoded."""
    bomb = gzip.compress(bytes(20 * 1024 * 1024), 9)
    assert len(bomb) * MAX_RATIO < 20 * 1024 * 1024
    assert expanded(pieces_of(bomb, 512)) <= 2 * 1024 * 1024


def test_a_bomb_by_size_is_stopped() -> None:
    """A body that decodes past 32 MiB is refused even at a modest ratio."""
    block = NOISE[:20_000] * 13
    packed = zlib.compressobj(6, zlib.DEFLATED, 31)
    pieces = [
        packed.compress(block) + packed.flush(zlib.Z_SYNC_FLUSH) for _ in range(MAX_DECODED_BYTES // len(block) + 2)
    ]
    assert expanded(pieces) <= MAX_DECODED_BYTES


def expanded(pieces: list[bytes]) -> int:
    """How many bytes come out before a bomb is seen for what it is."""
    held = decoder("gzip")
    size = 0

    def feed_all() -> None:
        nonlocal size
        for piece in pieces:
            size += sum(map(len, held.feed(piece)))

    with pytest.raises(ProviderFailed) as caught:
        feed_all()
    assert caught.value.error_code == "upstream_bomb"
    return size


def test_a_small_body_may_expand_more() -> None:
    """Below a mebibyte the ratio says nothing."""
    body = bytes(1024 * 1024)
    assert decoded("gzip", [gzip.compress(body, 9)]) == body


class Counting:
    """zlib's object, which counts what goes into it."""

    def __init__(self, window_bits: int) -> None:
        self._inflate: Any = INFLATE(window_bits)
        self.taken_bytes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inflate, name)

    def decompress(self, data: bytes, size: int) -> bytes:
        self.taken_bytes += len(data)
        return self._inflate.decompress(data, size)


def test_a_large_body_goes_in_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of it is not gone over again with every piece that comes out."""
    made: list[Counting] = []

    def making(window_bits: int) -> Counting:
        made.append(Counting(window_bits))
        return made[-1]

    monkeypatch.setattr(zlib, "decompressobj", making)
    encoded = gzip.compress(NOISE * 10, 1)
    assert decoded("gzip", [encoded]) == NOISE * 10
    assert made[0].taken_bytes < 2 * len(encoded)
