"""The stages of an exchange, seen through plans of real plugins: what runs, in which order, and what each end means."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from core.tests.plans import BODY, JSON, Gate, Vendor, exchange, ok, plan_of, run
from typing_extensions import override

from headgate import pipeline
from headgate.errors import Blocked, Forbidden, HookFailed, InvalidRequest, ModelNotFound, Unauthenticated
from headgate.exchange import Exchange, Principal, Reply, Target
from headgate.fleet import Fleet
from headgate.hooks import Hooks, hookimpl
from headgate.operations import CHAT, EMBEDDINGS, PASSTHROUGH
from headgate.plan import Plugin, Registry, compile_plan

# the order


async def test_the_stages_run_in_their_order() -> None:
    """Auth, cache, route, guardrail, call, guardrail; afterwards cache, budgets, record."""
    gate = Gate()
    gate.collects = True
    plan, ex = plan_of(gate, main=Vendor(ok())), exchange()
    ex.reply = await run(plan, ex)
    ex.outcome = "complete"
    await pipeline.finish(plan, ex)
    assert gate.ran == [
        "authenticate",
        "admit",
        "lookup",
        "route",
        "guard_request",
        "guard_reply",
        "store",
        "settle",
        "record",
    ]
    assert gate.stored == [b'{"choices":[]}']


async def test_the_body_is_read_after_authentication() -> None:
    """Somebody without a key cannot make the gateway read a body."""
    gate = Gate()
    gate.refuses["authenticate"] = Unauthenticated("no")

    async def never() -> bytes:
        raise AssertionError("the body was read")

    with pytest.raises(Unauthenticated):
        await pipeline.run(plan_of(gate, main=Vendor(ok())), exchange(), never)


async def test_nobody_answering_is_a_401() -> None:
    """Without a principal nothing goes on."""

    class Silent(Hooks):
        @override
        @hookimpl
        async def authenticate(self, ex: Exchange) -> Principal | None:
            return None

    with pytest.raises(Unauthenticated):
        await run(plan_of(Silent(), main=Vendor(ok())), exchange())


async def test_a_hit_ends_the_exchange() -> None:
    """What the cache holds is answered: nothing is routed, guarded or called, and it is not stored again."""
    gate, vendor = Gate(), Vendor(ok())
    gate.hit = ok(b"cached")
    gate.collects = True
    plan, ex = plan_of(gate, main=vendor), exchange()
    assert await run(plan, ex) is gate.hit
    assert (ex.cache_status, vendor.calls) == ("HIT", [])
    ex.outcome = "complete"
    await pipeline.finish(plan, ex)
    assert gate.ran == ["authenticate", "admit", "lookup", "settle", "record"]


async def test_a_refusal_ends_the_exchange() -> None:
    """Whichever stage refuses, the rest does not run; what comes after the reply still does."""
    for hook, refusal in (("admit", Forbidden("no")), ("route", ModelNotFound("no")), ("guard_request", Blocked("no"))):
        gate, vendor = Gate(), Vendor(ok())
        gate.refuses[hook] = refusal
        plan, ex = plan_of(gate, main=vendor), exchange()
        with pytest.raises(type(refusal)):
            await run(plan, ex)
        assert gate.ran[-1] == hook
        assert vendor.calls == []
        await pipeline.finish(plan, ex)
        assert gate.ran[-2:] == ["settle", "record"]


async def test_an_unauthenticated_exchange_is_recorded_and_not_settled() -> None:
    """There is nobody to settle with."""
    gate = Gate()
    gate.refuses["authenticate"] = Unauthenticated("no")
    plan, ex = plan_of(gate, main=Vendor(ok())), exchange()
    with pytest.raises(Unauthenticated):
        await run(plan, ex)
    await pipeline.finish(plan, ex)
    assert gate.ran == ["authenticate", "record"]


@pytest.mark.parametrize(("holder", "called"), [("main", ["main"]), ("other", ["other"]), ("gone", ["main", "other"])])
async def test_a_pinned_exchange_has_one_target(holder: str, called: list[str]) -> None:
    """Where a plugin knows who alone can answer, nobody else of the tree is called; a tree without it is as it was."""

    class Pin(Hooks):
        @override
        @hookimpl
        async def admit(self, ex: Exchange) -> None:
            ex.pinned = lambda provider: provider.deployment == holder

    nothing = Target(path="x", deployment="not there")
    inner = Target(strategy="turn", targets=(Target(path="y", deployment="other"), nothing))
    tree = Target(strategy="turn", targets=(Target(deployment="main"), inner.targets[0], inner))
    failed = Reply(500, JSON, b"{}")
    ex = exchange()
    plan = plan_of(Pin(), Gate(tree), main=Vendor(failed), other=Vendor(failed, deployment="other"))
    if called == ["main", "other"]:
        with pytest.raises(HookFailed):  # the tree was gone through, to the deployment that is not there
            await run(plan, ex)
        called = ["main", "other", "other"]
    else:
        assert (await run(plan, ex)).status == 500
    assert [attempt.target.deployment for attempt in ex.attempts] == called


async def test_a_replaced_body_is_what_is_read() -> None:
    """After `replace_body` everything sees the new request."""
    ex = exchange()
    ex.body = BODY
    assert [place.text for place in ex.texts()] == ["hi"]
    ex.replace_body(BODY.replace(b"hi", b"ho"))
    assert [place.text for place in ex.texts()] == ["ho"]
    assert ex.is_changed


async def test_the_time_of_each_stage() -> None:
    """Kept when asked for; the parts are positive and each stands once."""
    ex = exchange()
    ex.timings = {}
    await run(plan_of(Gate(), main=Vendor(ok())), ex)
    assert list(ex.timings) == ["auth", "cache", "route", "guardrail", "call"]
    assert all(seconds >= 0 for seconds in ex.timings.values())


# the request


@pytest.mark.parametrize(
    ("sent", "model", "stream", "user", "max_tokens"),
    [
        (b'{"model":"m"}', "m", False, None, None),
        (b'{"model":"m","stream":true,"user":"u","max_tokens":5}', "m", True, "u", 5),
        (b'{"model":"m","max_tokens":5,"max_completion_tokens":7,"user":3,"stream":null}', "m", False, None, 7),
        (b'{"model":"m","max_tokens":"many"}', "m", False, None, None),
        (b'{"model":"m","max_tokens":true}', "m", False, None, None),
    ],
)
async def test_what_the_gateway_reads_of_a_body(
    sent: bytes, model: str, stream: bool, user: str | None, max_tokens: int | None
) -> None:
    """The few members it needs; odd values of the others are the provider's business."""
    ex = exchange()
    await run(plan_of(Gate(), main=Vendor(ok())), ex, sent)
    assert (ex.model, ex.stream, ex.user, ex.max_tokens) == (model, stream, user, max_tokens)
    assert ex.body == sent


@pytest.mark.parametrize(
    ("sent", "code"),
    [(b"{}", "missing_model"), (b'{"model":""}', "missing_model"), (b"{", "invalid_json"), (b"[]", "invalid_request")],
)
async def test_a_body_that_is_no_request(sent: bytes, code: str) -> None:
    """Refused before anything is admitted or called."""
    gate = Gate()
    with pytest.raises(InvalidRequest) as caught:
        await run(plan_of(gate, main=Vendor(ok())), exchange(), sent)
    assert caught.value.error_code == code
    assert gate.ran == ["authenticate"]


async def test_a_huge_model_name_is_refused() -> None:
    """A name that no model has, of a length that would be carried into logs and messages."""
    with pytest.raises(InvalidRequest):
        await run(plan_of(Gate(), main=Vendor(ok())), exchange(), json.dumps({"model": "m" * 100_000}).encode())


async def test_an_operation_that_cannot_stream_does_not() -> None:
    """`stream` in an embeddings request asks for nothing."""
    ex = exchange(EMBEDDINGS)
    gate = Gate()
    with pytest.raises(InvalidRequest, match="has no operation `embeddings`"):
        await run(plan_of(gate, main=Vendor(ok())), ex, b'{"model":"m","stream":true}')
    assert ex.stream is False


async def test_an_opaque_body_is_not_read() -> None:
    """A passed-through body may be anything."""
    ex = exchange(PASSTHROUGH)
    await run(plan_of(Gate(), main=Vendor(ok())), ex, b"\xff\x00")
    assert (ex.model, ex.body) == ("", b"\xff\x00")


@pytest.mark.parametrize(
    ("given", "expected"),
    [(None, {"team": "a"}), ("{}", {"team": "a"}), ('{"user":"u","team":"mine"}', {"user": "u", "team": "a"})],
)
async def test_metadata_of_the_key_goes_before_the_callers(given: str | None, expected: dict[str, str]) -> None:
    """A caller adds to what its key says, and changes nothing of it."""
    headers: dict[str, Any] = {} if given is None else {"x_headgate_metadata": given}
    ex = exchange(CHAT, **headers)
    gate = Gate(principal=Principal("k", metadata={"team": "a"}))
    await run(plan_of(gate, main=Vendor(ok())), ex)
    assert ex.metadata == expected


@pytest.mark.parametrize("given", ["x", "[]", '{"a":1}', '{"a":{"b":"c"}}', '{"a":"%s"}' % ("x" * 129), "[" * 9999])
async def test_metadata_that_is_refused(given: str) -> None:
    """Anything but short strings by name is a 400."""
    with pytest.raises(InvalidRequest) as caught:
        await run(plan_of(Gate(), main=Vendor(ok())), exchange(x_portkey_metadata=given))
    assert caught.value.error_code == "bad_metadata"


@pytest.mark.parametrize(
    ("asked", "allowed_s", "left_s"),
    [(None, 0.0, None), (None, 2.0, 2.0), (b"500", 2.0, 0.5), (b"5000", 2.0, 2.0), (b"500", 0.0, 0.5)],
)
async def test_the_deadline_of_a_request(asked: bytes | None, allowed_s: float, left_s: float | None) -> None:
    """What the caller asks for, at most what the key allows; without either there is none."""

    class Knowing(Hooks):
        @override
        @hookimpl
        async def authenticate(self, ex: Exchange) -> Principal:
            return Principal("k", deadline_s=allowed_s)

    plugins = [Plugin("knowing", Knowing())]
    plan = compile_plan(plugins, Registry(), {}, {}, fleet=Fleet(clock=lambda: 100.0))
    headers = {} if asked is None else {b"x-headgate-deadline": asked}
    ex = Exchange(CHAT, headers, request_id="r", trace_id="t")
    await pipeline.authenticate(plan, ex)
    assert ex.deadline == (math.inf if left_s is None else 100.0 + left_s)
