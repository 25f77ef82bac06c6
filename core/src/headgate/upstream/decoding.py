"""Undoing content encodings within bounds: a small body must not become a large one in memory."""

from __future__ import annotations

import zlib
from typing import Protocol

from headgate.errors import ProviderFailed

STEP_BYTES = 256 * 1024
MAX_RATIO = 200
MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_DECODED_BYTES = 32 * 1024 * 1024
_FREE_BYTES = 1024 * 1024  # a ratio means little before this much came out


class Decoder(Protocol):
    """Undoes one encoding, piece by piece."""

    def feed(self, data: bytes) -> list[bytes]:
        """What `data` decodes to, in pieces of at most 256 KiB. Raises ProviderFailed on garbage or a bomb."""
        ...

    def end(self) -> None:
        """Raises ProviderFailed when the encoded body was cut short."""
        ...


def decoder_for(encoding: str) -> Decoder | None:
    """The decoder of a `content-encoding`; None for identity. The gateway asks for identity, so others are rare."""
    name = encoding.strip().lower()
    if name in {"", "identity"}:
        return None
    if name in {"gzip", "x-gzip"}:
        return _Zlib("gzip", 31)
    if name == "deflate":
        return _Zlib("deflate", 15)
    raise ProviderFailed("the body has a `content-encoding` that was not asked for", code="upstream_bad_encoding")


class _Zlib:
    def __init__(self, name: str, window_bits: int) -> None:
        self._name = name
        self._inflate = zlib.decompressobj(window_bits)
        self._in = 0
        self._out = 0

    def feed(self, data: bytes) -> list[bytes]:
        # with each piece that comes out zlib copies all that is left of what went in
        slices = [data[at : at + STEP_BYTES] for at in range(0, len(data), STEP_BYTES)]
        return [piece for slice_ in slices for piece in self._step(slice_)]

    def _step(self, data: bytes) -> list[bytes]:
        self._in += len(data)
        pieces: list[bytes] = []
        try:
            while not self._inflate.eof:
                piece = self._inflate.decompress(data, STEP_BYTES)
                data = self._inflate.unconsumed_tail
                self._out += len(piece)
                self._check()
                if piece:
                    pieces.append(piece)
                if not data and len(piece) < STEP_BYTES:
                    break
        except zlib.error as error:
            raise ProviderFailed(f"the body is not valid {self._name}: {error}", code="upstream_bad_encoding") from None
        if self._inflate.unused_data or (self._inflate.eof and data):
            raise ProviderFailed(f"there is data after the {self._name} body", code="upstream_bad_encoding")
        return pieces

    def end(self) -> None:
        if not self._inflate.eof:
            raise ProviderFailed(f"the {self._name} body was cut short", code="upstream_bad_encoding")

    def _check(self) -> None:
        if self._out > _FREE_BYTES and self._out > MAX_RATIO * self._in:
            raise ProviderFailed(f"the {self._name} body expands more than {MAX_RATIO}:1", code="upstream_bomb")
        if self._out > MAX_DECODED_BYTES:
            raise ProviderFailed(f"the {self._name} body expands past {MAX_DECODED_BYTES} bytes", code="upstream_bomb")
