"""Request bodies as bytes: what is refused before anything else looks, and edits that leave every other byte alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

import msgspec
from msgspec import Raw, Struct

from headgate.errors import InvalidRequest, ProviderFailed

MAX_DEPTH = 64
MAX_KEYS = 65_536
MAX_STRINGS = 500_000

_SMALL = 4096
_WALKED = 1024 * 1024
"""Up to this size a body is decoded to see its depth, unless it could have too many keys: it is too short for strings."""
_KEYLESS = MAX_KEYS * len(b'"":0,')
"""A shorter body cannot have too many keys."""
_CONTAINERS = frozenset({dict, list})
_BEFORE_VALUE = re.compile(rb'[ \t\r\n]*[{,][ \t\r\n]*("(?:[^"\\]|\\.)*")[ \t\r\n]*:[ \t\r\n]*')
_AFTER_LAST = re.compile(rb"[ \t\r\n]*\}[ \t\r\n]*\Z")
_SAME_BRACKETS = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS = bytes(sorted(set(range(256)) - set(b"[]{}")))


class Probe(Struct):
    """The few members the gateway itself needs; everything else is skipped, though its syntax is checked."""

    model: str | None = None
    stream: bool | None = None
    user: Any = None
    metadata: Any = None
    max_tokens: Any = None
    max_completion_tokens: Any = None


_probe = msgspec.json.Decoder(Probe)
_members = msgspec.json.Decoder(dict[str, Raw])
_object = msgspec.json.Decoder(dict[str, Any])


def probe_body(body: bytes) -> Probe:
    """Check a JSON body whole (syntax, UTF-8, depth, number of keys) and read the members of `Probe`.

    Raises InvalidRequest, never anything else, whatever the bytes are. A repeated key counts with its last value.
    """
    return examine_body(body)[0]


def examine_body(body: bytes) -> tuple[Probe, dict[str, Any] | None]:
    """See `probe_body`. The body comes decoded as well where checking it took that."""
    try:
        if not body.isascii():
            body.decode()
        decoded = _check_shape(body)
        return (_probe.decode(body), None) if decoded is None else (msgspec.convert(decoded, Probe), decoded)
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"the body is not valid UTF-8 at byte {error.start}", code="invalid_utf8") from None
    except msgspec.ValidationError as error:
        raise InvalidRequest(_explain(str(error)), param=_param(str(error))) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}", code="invalid_json") from None


def decode_object(body: bytes) -> dict[str, Any]:
    """The whole body as a dict; InvalidRequest when it is no JSON object."""
    try:
        return _object.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"the body is not a JSON object: {error}", code="invalid_json") from None


def reply_object(body: bytes) -> dict[str, Any]:
    """A provider's whole reply as a dict; ProviderFailed (code `upstream_bad_reply`) when it is no JSON object."""
    try:
        return _object.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProviderFailed(f"the provider's reply is not JSON: {error}", code="upstream_bad_reply") from None


def encode_with_model(body: bytes, model: str, overrides: Mapping[str, Any]) -> bytes:
    """`body` with its top-level `model` replaced, every other byte kept.

    With `overrides`, or when a key is repeated or spelled with escapes, the members are written anew: values keep their
    bytes and keys their order, and of a repeated key the last value stays, as the probe read it. So the provider cannot
    see another model than the one that was asked for, however its key is spelled.
    """
    members: dict[str, Any] = dict(_members.decode(body))
    encoded = msgspec.json.encode(model)
    given = members.get("model")
    members.update(overrides)
    members["model"] = Raw(encoded)
    written = msgspec.json.encode(members)
    if overrides or given is None or len(written) - len(encoded) + len(bytes(given)) == len(body):
        return written  # a compact body without repetition comes out as it was
    at = _value_at(body, members, given)
    return written if at < 0 else body[:at] + encoded + body[at + len(bytes(given)) :]


def encode_with(body: bytes, overrides: Mapping[str, Any]) -> bytes:
    """`body` with whole top-level members replaced; values that stay keep their bytes."""
    return msgspec.json.encode({**_members.decode(body), **overrides})


def leave_out(body: bytes, names: Iterable[str]) -> tuple[bytes, list[str]]:
    """`body` without top-level members, and the names of those that were there and said something; others keep their bytes."""
    named = [name for name in names if f'"{name}"'.encode() in body]
    if not named:
        return body, []
    members = _members.decode(body)
    found = [name for name in named if name in members]
    kept = {name: value for name, value in members.items() if name not in found}
    said = [name for name in found if bytes(members[name]) != b"null"]
    return (msgspec.json.encode(kept) if found else body), said


Path = tuple[str | int, ...]
"""The way to a member of decoded JSON: names, places in lists, and `*` as a place that is every one of a list's."""
EVERY = -1
_PATH = re.compile(r"(?:^|\.)([^.\[\]]+)|\[(\d{1,6}|\*)\]")


def parse_path(text: str) -> Path:
    """`a.b`, `tools[0].strict` or `messages[*].name` as a Path. ValueError for anything else."""
    steps: list[str | int] = []
    at = 0
    while at < len(text):
        found = _PATH.match(text, at)
        if found is None or (at == 0 and found[1] is None):
            raise ValueError(f"`{text}` is no path such as `a.b`, `a[0]` or `a[*].b`")
        steps.append(found[1] if found[1] is not None else EVERY if found[2] == "*" else int(found[2]))
        at = found.end()
    if not steps:
        raise ValueError("a path must not be empty")
    return tuple(steps)


def with_params(body: bytes, defaults: Mapping[str, Any], dropped: Iterable[Path]) -> bytes:
    """`body` with top-level members that it does not have from `defaults`, and without what stands at the `dropped` paths.

    The same bytes when nothing of that changes it.
    """
    members: dict[str, Any] = _members.decode(body)
    missing = {name: value for name, value in defaults.items() if name not in members}
    members |= missing
    changed = bool(missing)
    for path in dropped:
        name = path[0]
        if len(path) > 1 and isinstance(members.get(str(name)), Raw):
            members[str(name)] = msgspec.json.decode(members[str(name)])  # others keep their bytes
        changed = _drop(members, path) or changed
    return msgspec.json.encode(members) if changed else body


def _drop(held: Any, path: Path) -> bool:
    """Take out what stands at `path`; whether there was anything."""
    step, rest = path[0], path[1:]
    if isinstance(held, dict) and isinstance(step, str):
        members = cast("dict[str, Any]", held)
        if step not in members:
            return False
        if rest:
            return _drop(members[step], rest)
        del members[step]
        return True
    if isinstance(held, list) and isinstance(step, int):
        items = cast("list[Any]", held)
        if step == EVERY:
            if rest:
                return sum(_drop(item, rest) for item in items) > 0  # all of them, not the first alone
            had = bool(items)
            items.clear()
            return had
        if step < len(items):
            if rest:
                return _drop(items[step], rest)
            del items[step]
            return True
    return False


def replace_paths(body: dict[str, Any], changes: Iterable[tuple[tuple[str | int, ...], str]]) -> dict[str, Any]:
    """A copy of decoded JSON with the strings at the given paths replaced. Only the way to each path is copied."""
    copied: dict[str, Any] = dict(body)
    fresh: set[tuple[str | int, ...]] = {()}
    for path, text in changes:
        node: Any = copied
        for depth, key in enumerate(path[:-1], start=1):
            if path[:depth] not in fresh:
                node[key] = node[key].copy()
                fresh.add(path[:depth])
            node = node[key]
        node[path[-1]] = text
    return copied


def _check_shape(body: bytes) -> dict[str, Any] | None:
    """Refuse deep nesting and huge key counts, in time linear in the body; gives the decoded body if it was made."""
    if len(body) <= _SMALL and body.count(b"{") + body.count(b"[") <= MAX_DEPTH:
        return None
    if len(body) <= _WALKED and (len(body) < _KEYLESS or body.count(b":") <= MAX_KEYS):
        decoded = _object.decode(body)
        _check_depth(decoded)
        return decoded
    _check_skeleton(body)
    return None


def _check_skeleton(body: bytes) -> None:
    """The same for large bodies, before a decoder makes an object of every bracket; all steps run in C."""
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in body else body
    if plain.count(b'"') > 2 * MAX_STRINGS:
        raise InvalidRequest(f"the body has more than {MAX_STRINGS} strings", code="too_many_strings")
    skeleton = b"".join(plain.split(b'"')[::2])  # what stands outside of strings
    if skeleton.count(b"{") + skeleton.count(b"[") <= MAX_DEPTH and len(skeleton) <= MAX_KEYS:
        return
    if skeleton.count(b":") > MAX_KEYS:
        raise InvalidRequest(f"the body has more than {MAX_KEYS} keys", code="too_many_keys")
    brackets = skeleton.translate(_SAME_BRACKETS, _NOT_BRACKETS)  # the decoder tells `[}` from `[]`
    for _ in range(MAX_DEPTH):
        if not brackets:
            return
        shorter = brackets.replace(b"[]", b"")
        if len(shorter) == len(brackets):
            return  # unbalanced: the decoder says what is wrong with it
        brackets = shorter
    if brackets:
        raise _too_deep()


def _check_depth(value: dict[str, Any]) -> None:
    """Go down level by level, looking at nothing but what can hold more."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for held in level:
            for item in held.values() if held.__class__ is dict else held:
                if item.__class__ in _CONTAINERS:
                    below.append(item)  # noqa: PERF401 - on the path of large bodies, where a comprehension is slower
        if not below:
            return
        level = below
    raise _too_deep()


def _too_deep() -> InvalidRequest:
    return InvalidRequest(f"the body is nested deeper than {MAX_DEPTH} levels", code="too_deep")


def _value_at(body: bytes, members: Mapping[str, Any], given: Raw) -> int:
    """Where the value of `model` stands, found by walking all members; -1 unless each key is there once, unescaped."""
    at, found = 0, -1
    for name, value in members.items():
        raw = bytes(given if name == "model" else value)
        match = _BEFORE_VALUE.match(body, at)
        if match is None or match[1] != msgspec.json.encode(name) or not body.startswith(raw, match.end()):
            return -1
        if name == "model":
            found = match.end()
        at = match.end() + len(raw)
    return found if _AFTER_LAST.match(body, at) else -1


def _explain(message: str) -> str:
    if message.startswith("Expected `object`") and "$." not in message:
        return "the body must be a JSON object"
    what, _, where = message.partition(" - at `$.")
    return f"`{where.rstrip('`')}`: {what[0].lower()}{what[1:]}" if where else message


def _param(message: str) -> str | None:
    _, _, where = message.partition(" - at `$.")
    return where.rstrip("`") or None
