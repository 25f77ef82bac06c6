"""Ids: unique, sortable, and taken over from callers only when they are safe to carry."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.ids import IdSource, trace_id_from

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


def test_random_ids_are_unique_across_batches() -> None:
    """Ten thousand ids, many batches: none twice, all of 32 hex digits."""
    source = IdSource()
    found = {source.random() for _ in range(10_000)}
    assert len(found) == 10_000
    assert all(re.fullmatch(r"[0-9a-f]{32}", text) for text in found)


def test_a_forked_process_makes_its_own() -> None:
    """A child process never hands out what its parent has in store."""
    script = """
import os
from headgate.ids import IdSource

source = IdSource()
source.random()
if os.fork() == 0:
    print(*[source.random() for _ in range(255)], flush=True)
    os._exit(0)
os.wait()
print(*[source.random() for _ in range(255)])
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    ids = told.stdout.split()
    assert len(ids) == len(set(ids)) == 510


def test_request_ids_sort_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """An id made a millisecond later sorts behind, whatever its random part is."""
    source = IdSource()
    found: list[str] = []
    for millisecond in (1, 2, 255, 256, 1_767_225_600_000, 2**47):
        monkeypatch.setattr("headgate.ids.time.time_ns", lambda at=millisecond: at * 1_000_000)
        found.append(source.request_id())
    assert found == sorted(found)
    assert all(re.fullmatch(r"req_[0-9a-f]{32}", text) for text in found)


@pytest.mark.parametrize(
    ("traceparent", "expected"),
    [
        (f"00-{TRACE}-{SPAN}-01", TRACE),
        (f"00-{TRACE}-{SPAN}-00", TRACE),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{TRACE}-{SPAN}-01\n", None),
        (f"00-{TRACE}-{SPAN}", None),
        ("", None),
        (None, None),
    ],
)
def test_a_traceparent_is_taken_only_when_valid(traceparent: str | None, expected: str | None) -> None:
    """W3C Trace Context: an invalid header counts as none."""
    assert trace_id_from(traceparent, None) == expected


@pytest.mark.parametrize("given_id", ["my-trace", "a" * 128, "a/b:c=d@e.f+g_h"])
def test_a_plain_trace_id_is_taken(given_id: str) -> None:
    """A caller's own id is used when no valid traceparent is there."""
    assert trace_id_from(None, given_id) == given_id
    assert trace_id_from("broken", given_id) == given_id
    assert trace_id_from(f"00-{TRACE}-{SPAN}-01", given_id) == TRACE


@settings(deadline=None)
@given(st.text())
def test_no_trace_id_can_break_a_header(given_id: str) -> None:
    """Whatever a caller sends, what is taken over is 1 to 128 harmless ASCII characters."""
    found = trace_id_from(None, given_id)
    assert found is None or (found == given_id and re.fullmatch(r"[!-~]{1,128}", found))
