"""What tests of the stages run: plans of real plugins, a plugin that notes what ran, a provider that is told its answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from typing_extensions import override

from headgate import pipeline
from headgate.dialects import OpenAIChat
from headgate.exchange import Exchange, Principal, Reply, Target
from headgate.hooks import Hooks, Outcome, Scene, Strategy, hookimpl
from headgate.operations import CHAT, Operation
from headgate.plan import Plan, Plugin, Registry, compile_plan
from headgate.provider import DeploymentConfig, Provider
from headgate.testing import Recorded, ReplayUpstream

BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
JSON = ((b"content-type", b"application/json"),)


class Vendor(Provider):
    """Answers with what it is given, or raises it, one after another."""

    name = "vendor"
    is_keyless = True
    dialects: ClassVar[Mapping[str, str]] = {"chat": "openai.chat", "passthrough": ""}

    def __init__(self, *answers: Reply | Exception | Any, deployment: str = "main") -> None:
        super().__init__(deployment, DeploymentConfig(provider="vendor"), ReplayUpstream({"*": Recorded()}))
        self._answers = list(answers)
        self.calls: list[Exchange] = []

    @override
    async def call(self, ex: Exchange) -> Reply:
        self.calls.append(ex)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer


class InTurn(Strategy):
    """The next child after a failure."""

    @override
    def choose(self, target: Target, ex: Exchange, outcomes: Sequence[Outcome], scene: Scene) -> int | None:
        if outcomes and (outcomes[-1].is_final or outcomes[-1].status < 400 or len(outcomes) == len(target.targets)):
            return None
        return len(outcomes)


class Gate(Hooks):
    """Lets a principal in, routes to `target`, and notes which hooks ran."""

    def __init__(self, target: Target | None = None, principal: Principal | None = None) -> None:
        self._target = target or Target(deployment="main")
        self._principal = principal or Principal("k")
        self.ran: list[str] = []
        self.hit: Reply | None = None
        self.collects = False
        self.refuses: dict[str, Exception] = {}
        self.stored: list[bytes | None] = []

    def _note(self, hook: str) -> None:
        self.ran.append(hook)
        if hook in self.refuses:
            raise self.refuses[hook]

    @override
    @hookimpl
    async def authenticate(self, ex: Exchange) -> Principal | None:
        self._note("authenticate")
        return self._principal

    @override
    @hookimpl
    async def admit(self, ex: Exchange) -> None:
        self._note("admit")

    @override
    @hookimpl
    async def lookup(self, ex: Exchange) -> Reply | None:
        self._note("lookup")
        ex.collect = self.collects
        return self.hit

    @override
    @hookimpl
    async def store(self, ex: Exchange) -> None:
        self._note("store")
        self.stored.append(ex.reply_body)

    @override
    @hookimpl
    async def route(self, ex: Exchange) -> Target | None:
        self._note("route")
        return self._target

    @override
    @hookimpl
    async def guard_request(self, ex: Exchange) -> None:
        self._note("guard_request")

    @override
    @hookimpl
    async def guard_reply(self, ex: Exchange) -> None:
        self._note("guard_reply")

    @override
    @hookimpl
    async def settle(self, ex: Exchange) -> None:
        self._note("settle")

    @override
    @hookimpl
    async def record(self, ex: Exchange) -> None:
        self._note("record")


def plan_of(*plugins: Hooks, **vendors: Vendor) -> Plan:
    registry = Registry(strategies={"turn": InTurn()})
    named = [Plugin(f"p{at}", plugin) for at, plugin in enumerate(plugins)]
    return compile_plan(named, registry, vendors, {})


def exchange(operation: Operation = CHAT, **headers: Any) -> Exchange:
    held = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    dialect = OpenAIChat() if operation is CHAT else None
    return Exchange(operation, held, request_id="r", trace_id="t", dialect=dialect)


async def run(plan: Plan, ex: Exchange, sent: bytes = BODY) -> Reply:
    async def read() -> bytes:
        return sent

    return await pipeline.run(plan, ex, read)


def ok(content: bytes = b'{"choices":[]}') -> Reply:
    return Reply(200, JSON, content)
