"""What the checks found in one exchange, in the shape of Portkey's `hook_results`. It never quotes a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import Struct

from headgate.errors import Blocked
from headgate.exchange import Exchange
from headgate.hooks import Verdict

NAME = "guard-basic"
Side = Literal["request", "reply"]


class Notes(Struct):
    """`ex.data["guard-basic"]`: the hook results so far. `judged` is the hash of the request body that last passed."""

    before_request_hooks: list[dict[str, Any]] = []
    after_request_hooks: list[dict[str, Any]] = []
    judged: int | None = None

    @classmethod
    def of(cls, ex: Exchange) -> Notes:
        """The notes of an exchange, made on first use."""
        return ex.data.setdefault(NAME, cls())

    def add(self, side: Side, checks: Sequence[dict[str, Any]], *, is_denied: bool = False) -> None:
        """Note one run of checks, unless nothing came of it or it is known. A request's newest run is its only one."""
        result = {
            "id": NAME,
            "type": "guardrail",
            "verdict": all(check["verdict"] for check in checks),
            "transformed": any(check["transformed"] for check in checks),
            "checks": list(checks),
            "deny": is_denied,
            "async": False,
            "execution_time": sum(check["execution_time"] for check in checks),
        }
        is_telling = any("data" in check for check in checks)
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


def result_of(check: str, verdict: Verdict, where: str, time_s: float) -> dict[str, Any]:
    """One check's result. Errors count as passed, as they only get here where the configuration allows them."""
    result: dict[str, Any] = {
        "id": check,
        "verdict": verdict.outcome != "fail",
        "transformed": verdict.outcome == "transformed",
        "execution_time": round(time_s * 1000),
    }
    if verdict.outcome != "pass":
        reason = verdict.reason or {"transformed": "text was replaced", "error": "the check failed"}.get(
            verdict.outcome
        )
        result["data"] = {"explanation": f"{reason or 'it did not pass'}, in `{where}`"}
    return result
