"""Word and pattern checks, and the plugin that runs any installed check on requests and replies, whole or streamed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

from msgspec import Struct
from typing_extensions import override

from headgate.context import Context, make_check
from headgate.dialects import TextPlace
from headgate.errors import InvalidRequest, Problem, RequestError, StartupError
from headgate.exchange import Exchange
from headgate.hooks import Check, CheckFactory, Fault, Hooks, MakeGuards, Verdict, Window, hookimpl
from headgate.operations import OPERATIONS
from headgate_guard_basic.checks import PASS, Forbids, contains, regex_match
from headgate_guard_basic.groups import Group, changes_of, groups_of
from headgate_guard_basic.hooks_of_configs import checks_of
from headgate_guard_basic.results import NAME, Finding, Notes, Side
from headgate_guard_basic.settings import CheckConfig, GuardBasicConfig
from headgate_guard_basic.text import WHOLE

__all__ = ["CheckConfig", "GuardBasic", "GuardBasicConfig"]

FOUND_FAULT = 246
"""The status of a reply that a check without `deny` found fault with."""
_READABLE = frozenset(operation.name for operation in OPERATIONS if not operation.is_socket)
"""Operations of which a hook sees anything at all."""
_ROLES = ("assistant", "developer", "function", "system", "tool", "tool_definition", "user")


class Entry(Struct, frozen=True):
    """A configured check and its full id."""

    id: str
    config: CheckConfig
    check: Check


class GuardBasic(Hooks):
    """Runs checks. A text that fails one with `deny` ends the exchange with status 446 and Portkey's `hook_results`."""

    Config = GuardBasicConfig

    def __init__(self, config: GuardBasicConfig, name: str = NAME) -> None:
        self._config = config
        self._name = name
        self._request: Sequence[Entry] = ()
        self._reply: Sequence[Entry] = ()
        self._forbidding: Sequence[Forbids] = ()
        """The checks of replies where all of them forbid something in pieces of a text, which is judged without waiting."""
        self.on_error = "deny" if any(check.on_error == "deny" for check in config.checks) else "allow"
        if config.passthrough == "allow":
            self.operations = _READABLE

    @override
    @hookimpl
    def checks(self) -> Mapping[str, CheckFactory]:
        return {"default.contains": contains, "default.regexMatch": regex_match}

    @override
    @hookimpl
    def guards(self) -> MakeGuards:
        return guards_of

    @override
    @hookimpl
    def configure(self, ctx: Context) -> None:
        self.use(ctx.known.checks)

    def use(self, checks: Mapping[str, CheckFactory]) -> None:
        """Make the configured checks. StartupError lists what is wrong with them."""
        problems: list[Problem] = []
        entries: list[Entry] = []
        for at, config in enumerate(self._config.checks):
            place = f"checks[{at}]"
            problems += _problems_of(config, place)
            full = config.check if "." in config.check else f"default.{config.check}"
            try:
                entries.append(Entry(full, config, make_check(checks, full, config.parameters)))
            except StartupError as error:
                problems += [Problem(f"`{place}`: {problem.message}") for problem in error.problems]
        if problems:
            raise StartupError(problems)
        self._request = [entry for entry in entries if "request" in entry.config.on]
        self._reply = [entry for entry in entries if "reply" in entry.config.on]
        judging = [entry.check for entry in self._reply]
        forbidding = [check for check in judging if isinstance(check, Forbids)]
        wanted = [entry.check.hold_chars for entry in self._reply]
        self.hold_chars = -1 if any(chars >= WHOLE or chars < 0 for chars in wanted) else max(wanted, default=0)
        self._forbidding = forbidding if len(forbidding) == len(judging) and self.hold_chars >= 0 else ()
        self.inactive = self._unused()

    @override
    @hookimpl
    async def guard_request(self, ex: Exchange) -> None:
        if self._config.passthrough == "refuse" and self._is_unreadable(ex):
            raise InvalidRequest(
                f"guardrails cannot read this `{ex.operation.name}` request; the operator can let such requests through "
                f"with `passthrough: allow` of plugin `{NAME}`",
                code="cannot_inspect",
            )
        notes = Notes.of(ex, self._name)
        if not self._request or notes.judged is ex.body:
            return
        places = ex.texts()
        if _all_pass(self._request, places, "request"):
            notes.add("request", ())
        else:
            groups = groups_of(places)
            await _run(self._request, groups, notes, "request")
            changes = changes_of(groups)
            if changes:
                ex.replace_texts(changes)
        notes.judged = ex.body

    @override
    @hookimpl
    async def guard_chunk(self, ex: Exchange, window: Window) -> str | None:
        if self._forbidding and self._passes(window):
            return None
        if self.hold_chars >= 0:
            return await self._judge_window(window, Notes.of(ex, self._name))
        if not window.is_last:
            return None
        group = Group((window.channel,))
        group.texts.append(window.text)
        await _run(self._reply, [group], Notes.of(ex, self._name), "reply")
        return group.text

    @override
    def holds(self, text: str) -> int:
        need = 0 if self._forbidding else self.hold_chars
        for check in self._forbidding:
            need = max(need, check.holds(text))
        return need

    @override
    def clears(self, window: Window) -> bool:
        return bool(self._forbidding) and self._passes(window) and self.holds(window.text) == 0

    @override
    @hookimpl
    async def guard_reply(self, ex: Exchange) -> None:
        places = ex.reply_texts()
        if _all_pass(self._reply, places, "reply"):
            return
        groups = groups_of(places)
        await _run(self._reply, groups, Notes.of(ex, self._name), "reply")
        changes = changes_of(groups)
        if changes:
            ex.replace_reply_texts(changes)

    def _unused(self) -> frozenset[str]:
        """Hooks that would find nothing to do, so that no stream is decoded and no text is looked for in vain."""
        unused: set[str] = set() if self._reply else {"guard_chunk", "guard_reply"}
        if not self._request and (not self._reply or self._config.passthrough == "allow"):
            unused.add("guard_request")
        return frozenset(unused)

    def _is_unreadable(self, ex: Exchange) -> bool:
        if self._request and ex.is_unreadable:
            return True
        if self._reply and (ex.dialect is None or not ex.dialect.reads_replies):
            return True
        if not self._request or ex.dialect is None or ex.operation.name == "chat":
            return False
        return _has_tokens(ex.json.get("input")) or _has_tokens(ex.json.get("prompt"))

    def _passes(self, window: Window) -> bool:
        for check in self._forbidding:  # noqa: SIM110 - once per piece of a stream: no generator
            if check.judge_window(window) is not PASS:
                return False
        return True

    async def _judge_window(self, window: Window, notes: Notes) -> str:
        """Judge a running stream. A check that knows no windows sees what it asked to see: what was sent, and what is held."""
        for entry in self._reply:
            verdict = await _ask(entry, window)
            if verdict is PASS:
                continue
            text = verdict.text if verdict.outcome == "transformed" else None
            if text is not None and text.startswith(window.before):
                window = Window(window.channel, text.removeprefix(window.before), window.before, window.is_last)
            elif text is not None:
                verdict = Verdict("fail", "text was to be replaced that has been sent")
            if verdict.outcome != "pass":
                findings = [Finding(entry.id, verdict, window.channel, 0.0)]
                _deny(entry, findings, notes, "reply")
                notes.add("reply", findings)
        return window.text


class ConfigGuards(GuardBasic):
    """The checks of a routing config. A whole reply that one without `deny` found fault with has Portkey's status 246."""

    @override
    @hookimpl
    async def guard_reply(self, ex: Exchange) -> None:
        await super().guard_reply(ex)
        if ex.reply is not None and ex.reply.is_ok and Notes.of(ex, self._name).has_failed:
            ex.reply.status = FOUND_FAULT

    @override
    def _unused(self) -> frozenset[str]:
        notes = any(not check.deny for check in self._config.checks)
        return super()._unused() - ({"guard_reply"} if notes else set())


def guards_of(written: Mapping[str, Any], checks: Mapping[str, CheckFactory], fault: Fault) -> Hooks:
    """What judges the calls of a routing config: `headgate.hooks.MakeGuards`."""
    guards = ConfigGuards(GuardBasicConfig(checks_of(written, fault)), "config")
    try:
        guards.use(checks)
    except StartupError as error:
        for problem in error.problems:
            fault("", f"has guardrails with a problem: {problem.message}")
    return guards


def _problems_of(config: CheckConfig, place: str) -> list[Problem]:
    problems = [
        Problem(f"`{place}.roles`: `{role}` is no role; known are {', '.join(_ROLES)}")
        for role in config.roles
        if role not in _ROLES
    ]
    if not config.on:
        problems.append(Problem(f"`{place}.on` must name `request`, `reply` or both"))
    return problems


def _has_tokens(value: Any) -> bool:
    """Whether a list holds token numbers, which no check can read."""
    return isinstance(value, list) and any(isinstance(item, int | list) for item in cast("list[object]", value))


def _all_pass(entries: Sequence[Entry], places: Sequence[TextPlace], side: Side) -> bool:
    """Whether every check passes every text, seen at a glance; False says nothing.

    Only for texts that read each on its own: what the parts of a message make together is judged together.
    """
    if len(places) > 1 and len({(*place.path[:2], place.channel) for place in places}) != len(places):
        return False
    for entry in entries:
        roles = entry.config.roles if side == "request" else ()
        texts = [place.text for place in places if not roles or place.role in roles]
        if not isinstance(entry.check, Forbids) or not entry.check.passes(texts):
            return False
    return True


async def _run(entries: Sequence[Entry], groups: Sequence[Group], notes: Notes, side: Side) -> None:
    """Run checks one after another, each on what the ones before it left. Raises Blocked at the first denial."""
    findings: list[Finding] = []
    for entry in entries:
        started = time.perf_counter()
        worst, where = PASS, ""
        for group in groups:
            if side == "request" and entry.config.roles and group.role not in entry.config.roles:
                continue
            check = entry.check
            if isinstance(check, Forbids) and len(group.texts) == 1:
                verdict = check.judge_text(group.texts[0])
            else:
                verdict = await _judge(entry, group)
            if verdict is not PASS and _RANK[verdict.outcome] > _RANK[worst.outcome]:
                worst, where = verdict, group.where
        findings.append(Finding(entry.id, worst, where, time.perf_counter() - started))
        _deny(entry, findings, notes, side)
    notes.add(side, findings)


_RANK = {"pass": 0, "transformed": 1, "error": 2, "fail": 3}


def _deny(entry: Entry, findings: list[Finding], notes: Notes, side: Side) -> None:
    """Note what was found and refuse, if `entry`, whose finding is the last, failed and denies."""
    if entry.config.deny and findings[-1].verdict.outcome == "fail":
        notes.add(side, findings, is_denied=True)
        raise notes.blocked(side, entry.id)


async def _judge(entry: Entry, group: Group) -> Verdict:
    """The verdict on a group: on each part, so that each is changed where it stands, and on all parts joined.

    A check that needs the whole text cannot fail on a part.
    """
    changed = False
    if len(group.texts) > 1:
        for at, text in enumerate(group.texts):
            verdict = await _ask(entry, text)
            if verdict.outcome == "transformed" and verdict.text is not None:
                group.texts[at], changed = verdict.text, True
            elif verdict.outcome == "fail" and entry.check.hold_chars < WHOLE:
                return verdict
    verdict = await _ask(entry, group.text)
    if verdict.outcome == "transformed" and verdict.text is not None:
        group.replace(verdict.text)
    return Verdict("transformed") if changed and verdict.outcome == "pass" else verdict


async def _ask(entry: Entry, text: str | Window) -> Verdict:
    """The check's verdict; `error` only where the configuration allows errors."""
    try:
        if isinstance(text, str):
            verdict = await entry.check.judge(text) if text else PASS
        elif isinstance(entry.check, Forbids):
            verdict = entry.check.judge_window(text)
        else:
            verdict = await entry.check.judge(text.before + text.text)
        if verdict.outcome == "error":
            raise RuntimeError(f"check `{entry.id}`: {verdict.reason}")
    except RequestError:
        raise
    except Exception as error:
        if entry.config.on_error == "deny":
            raise
        return Verdict("error", f"{type(error).__name__} in the check")
    return verdict
