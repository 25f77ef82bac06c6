"""What the checks found in one exchange, in the shape of Portkey's `hook_results`. It never quotes a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from headgate.errors import Blocked
from headgate.exchange import Exchange
from headgate.hooks import Verdict

NAME = "guard-basic"
Side = Literal["request", "reply"]


class Finding(NamedTuple):
    """What one check found: its worst verdict, and in which text."""

    check: str
    verdict: Verdict
    where: str
    time_s: float

    def result(self) -> dict[str, Any]:
        """Portkey's shape. Errors count as passed, as they only get here where the configuration allows them."""
        verdict = self.verdict
        result: dict[str, Any] = {
            "id": self.check,
            "verdict": verdict.outcome != "fail",
            "transformed": verdict.outcome == "transformed",
            "execution_time": round(self.time_s * 1000),
        }
        if verdict.outcome != "pass":
            reason = verdict.reason or {"transformed": "text was replaced", "error": "the check failed"}.get(
                verdict.outcome
            )
            result["data"] = {"explanation": f"{reason or 'it did not pass'}, in `{self.where}`"}
        return result


class Notes(Struct):
    """`ex.data["guard-basic"]`: the hook results so far. `judged` is the request body that last passed."""

    before_request_hooks: list[dict[str, Any]] = []
    after_request_hooks: list[dict[str, Any]] = []
    judged: bytes | None = None

    @classmethod
    def of(cls, ex: Exchange, name: str = NAME) -> Notes:
        """The notes of an exchange under a name, made on first use."""
        notes = ex.data.get(name)
        if notes is None:
            notes = ex.data[name] = cls()
        return notes

    @property
    def has_failed(self) -> bool:
        """Whether any check found fault."""
        return any(not result["verdict"] for result in (*self.before_request_hooks, *self.after_request_hooks))

    def add(self, side: Side, findings: Sequence[Finding], *, is_denied: bool = False) -> None:
        """Note one run of checks, unless nothing came of it or it is known. A request's newest run is its only one."""
        is_telling = bool(findings) and any(finding.verdict.outcome != "pass" for finding in findings)
        result = _result_of(findings, is_denied=is_denied) if is_telling else {}
        if side == "request":
            self.before_request_hooks = [result] if is_telling else []
        elif is_telling and result not in self.after_request_hooks:
            self.after_request_hooks.append(result)

    def blocked(self, side: Side, check: str) -> Blocked:
        """The error that refuses the request or the reply."""
        results = {
            "before_request_hooks": self.before_request_hooks,
            "after_request_hooks": self.after_request_hooks,
        }
        return Blocked(f"the {side} was refused by the guardrail check `{check}`", extra={"hook_results": results})


def _result_of(findings: Sequence[Finding], *, is_denied: bool) -> dict[str, Any]:
    checks = [finding.result() for finding in findings]
    return {
        "id": NAME,
        "type": "guardrail",
        "verdict": all(check["verdict"] for check in checks),
        "transformed": any(check["transformed"] for check in checks),
        "checks": checks,
        "deny": is_denied,
        "async": False,
        "execution_time": sum(check["execution_time"] for check in checks),
    }
