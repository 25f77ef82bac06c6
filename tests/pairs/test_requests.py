"""A request that goes from any client's dialect to any provider's asks there what it asked, or the gateway says what is lost."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from msgspec.structs import replace
from tests.pairs.canonical import requests
from tests.pairs.dialects import CLIENTS, SPOKEN, dropping, model_of, vendor_of
from tests.pairs.meaning import asked
from tests.pairs.unsaid import REQUESTS, unexplained

from headgate.chat import ChatRequest, Message
from headgate.dialects import ChatDialect, Gaps
from headgate.translation import without_foreign_thoughts

many = settings(max_examples=500, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.timeout(120)  # its cases are fixed, and a machine that stalls takes its time for them
def test_requests_keep_their_meaning() -> None:
    """From every client's dialect to every provider's; and every row of the table of what those cannot say is needed."""
    vendors = {name: vendor_of(name) for name in SPOKEN}
    used = set[tuple[str, str]]()

    def faults(request: ChatRequest, name: str) -> list[str]:
        provider, dialect, gaps = vendors[name], SPOKEN[name], dropping(name)
        adapted = provider.adapt(without_foreign_thoughts(request, provider, gaps), gaps)
        body = provider.finish_body(dialect.encode_request(adapted, gaps), adapted, gaps)
        again = dialect.decode_request(body)
        after = asked(again, dialect.names_back(adapted))
        found = unexplained(name, asked(request), after, gaps.dropped, again, used)
        return [f"{request.dialect} to {name}: {fault}, told {gaps.dropped}" for fault in found]

    @many
    @given(requests())
    def check(said: ChatRequest) -> None:
        found: list[str] = []
        for client in CLIENTS.values():
            request = decoded(client, said)
            found += [fault for name in SPOKEN for fault in faults(replace(request, model=model_of(name)), name)]
        assert found == []

    check()
    assert used == {(row.dialect, row.slot) for row in REQUESTS}


@settings(many, max_examples=50)
@given(requests())
def test_requests_of_the_same_dialect_stay_as_they_are(said: ChatRequest) -> None:
    """What a dialect has said once it says again to the letter, and nothing is left out."""
    for name, dialect in SPOKEN.items():
        gaps = Gaps(name)
        request = decoded(dialect, said)
        again = dialect.decode_request(dialect.encode_request(replace(request, model=model_of(name)), gaps))
        assert joined(replace(again, model="")) == joined(replace(request, model=""))
        assert gaps.dropped == []


def decoded(dialect: ChatDialect, said: ChatRequest) -> ChatRequest:
    """What a client of this dialect would ask, as far as it can."""
    request = replace(said, model=model_of(dialect.name))
    return dialect.decode_request(dialect.encode_request(request, dropping(dialect.name)))


def joined(request: ChatRequest) -> ChatRequest:
    """The request with turns of one side as one, for whether a tool's result shares a turn with other words is free."""
    messages: list[Message] = []
    for message in request.messages:
        role = "user" if message.role == "tool" else message.role
        last = messages[-1] if messages else None
        is_more = last is not None and last.role == role == "user"
        if last is not None and is_more and (last.extra, last.name) == (message.extra, message.name):
            messages[-1] = replace(last, parts=(*last.parts, *message.parts))
        else:
            messages.append(replace(message, role=role))
    return replace(request, messages=tuple(messages))
