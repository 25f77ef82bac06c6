"""The one error tree: what can go wrong, the HTTP status it becomes, and whether trying again may help.

::

    HeadgateError
    ├── StartupError                    configuration or plugins are wrong; lists every problem
    └── RequestError                    ends one exchange
        ├── InvalidRequest        400   the request cannot be understood
        │   ├── BodyTimeout       408   the body did not arrive in time
        │   ├── BodyTooLarge      413   the body is larger than its operation allows
        │   ├── UnsupportedField  400   a field the target's dialect cannot express
        │   └── UpgradeRequired   426   the path speaks WebSocket
        ├── Unauthenticated       401   no key, or one that is not known
        ├── Forbidden             403   known, but not allowed
        ├── ModelNotFound         404   no alias, deployment or model of that name
        ├── RouteNotFound         404   no such path
        ├── MethodNotAllowed      405   the path exists, the method does not
        ├── BudgetExceeded        412   no money or tokens left
        ├── RateLimited           429   too many requests for this principal
        ├── Blocked               446   a guardrail refused it
        ├── Overloaded            503   the gateway is at a limit, or draining
        ├── HookFailed            503   a plugin failed in a stage that fails closed
        ├── DeadlineExceeded      504   the time that the caller, the key or the route gave is over
        └── ProviderError               the provider's side
            ├── ProviderBusy      429   no room there, or it has asked for a pause
            ├── ProviderFailed    502   unreachable, broken or unreadable reply
            └── ProviderTimeout   504   silent for longer than its limit

A provider's own error reply (a status of 400 or more with a body) is not an exception: it is a `Reply` and is relayed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec
from typing_extensions import override


class HeadgateError(Exception):
    """Root of the tree."""


class Problem(msgspec.Struct, frozen=True):
    """One thing wrong with a configuration: `place` is `file:line:column` or a dotted path, `message` says what and the fix."""

    message: str
    place: str = ""

    @override
    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


class StartupError(HeadgateError):
    """The gateway cannot start, or cannot take a new configuration. `problems` holds every reason found, never only the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class ErrorWords(msgspec.Struct, frozen=True):
    """What an error reply says, in no dialect. `type` and `code` are the vendor's own words, empty where it has none.

    `retry_after_s` is when to come back, where the body says so; `extra` are members that stand beside the error.
    """

    status: int
    message: str
    type: str = ""
    code: str | None = None
    param: str | None = None
    retry_after_s: float | None = None
    extra: dict[str, Any] = {}


class RequestError(HeadgateError):
    """Ends an exchange with an error reply. `message` is shown to the caller: it never holds a secret or a prompt."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "api_error"
    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.error_code = code or self.code
        self.param = param
        self.retry_after_s = retry_after_s
        self.extra = extra

    def words(self) -> ErrorWords:
        """The error in no dialect."""
        return ErrorWords(
            self.status, self.message, self.type, self.error_code, self.param, self.retry_after_s, self.extra or {}
        )

    def envelope(self) -> bytes:
        """The OpenAI error body: `{"error": {message, type, param, code}}`, with `extra` members beside `error`."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.error_code}
        return msgspec.json.encode({"error": error, **(self.extra or {})})


class InvalidRequest(RequestError):
    """The request cannot be understood; `param` names the field."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_request"


class BodyTimeout(InvalidRequest):
    """The request body stalled for longer than `limits.body_stall_s`."""

    status = 408
    code = "body_timeout"


class BodyTooLarge(InvalidRequest):
    """The body is larger than `limits.body_bytes` allows for its operation."""

    status = 413
    code = "body_too_large"


class UnsupportedField(InvalidRequest):
    """The target's dialect cannot express this field and the policy is to refuse."""

    code = "unsupported_field"


class UpgradeRequired(InvalidRequest):
    """The path speaks WebSocket (RFC 6455, version 13) and was asked for something else."""

    status = 426
    code = "upgrade_required"


class Unauthenticated(RequestError):
    """No credential, or one that is not known."""

    status = 401
    type = "authentication_error"
    code = "invalid_api_key"


class Forbidden(RequestError):
    """The principal is known but may not do this."""

    status = 403
    type = "permission_error"
    code = "forbidden"


class ModelNotFound(RequestError):
    """No model alias, deployment or model of that name is known to this gateway."""

    status = 404
    type = "invalid_request_error"
    code = "model_not_found"


class RouteNotFound(RequestError):
    """No operation has this path."""

    status = 404
    type = "invalid_request_error"
    code = "route_not_found"


class MethodNotAllowed(RequestError):
    """The path is known, the method is not."""

    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"


class BudgetExceeded(RequestError):
    """The principal has no budget left."""

    status = 412
    type = "insufficient_quota"
    code = "budget_exceeded"


class RateLimited(RequestError):
    """The principal is over a rate limit; `retry_after_s` says when to come back."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limited"
    retryable = True


class Blocked(RequestError):
    """A guardrail refused the request or the reply (status 446, as Portkey's clients expect)."""

    status = 446
    type = "hooks_failed"
    code = "guardrail_blocked"


class Overloaded(RequestError):
    """The gateway is at one of its limits, or shutting down."""

    status = 503
    type = "overloaded_error"
    code = "overloaded"
    retryable = True


class HookFailed(RequestError):
    """A plugin raised, hung or answered with the wrong type in a stage that fails closed; the log names it."""

    status = 503
    code = "plugin_failed"


class DeadlineExceeded(RequestError):
    """The time that the caller, the key or the route gave is over: nothing more is started."""

    status = 504
    type = "timeout_error"
    code = "deadline_exceeded"


class ProviderError(RequestError):
    """The provider's side failed. `provider` names the provider, `deployment` the configured deployment."""

    status = 502
    type = "upstream_error"
    code = "upstream_failed"
    retryable = True

    def __init__(
        self,
        message: str,
        *,
        provider: str = "",
        deployment: str = "",
        code: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        extra = {"provider": provider} if provider else None
        super().__init__(message, code=code, retry_after_s=retry_after_s, extra=extra)
        self.provider = provider
        self.deployment = deployment

    def blame(self, provider: str, deployment: str) -> None:
        """Say whose failure it is, which those who raise it deep within a call do not know."""
        self.provider, self.deployment = provider, deployment
        self.extra = {"provider": provider}


class ProviderBusy(ProviderError):
    """The gateway did not call, since there is no room there, or the provider has asked for a pause. Another target may do."""

    status = 429
    type = "rate_limit_error"
    code = "deployment_busy"
    retryable = False


class ProviderFailed(ProviderError):
    """The provider could not be reached, closed the connection, or sent something that is no valid reply."""


class ProviderTimeout(ProviderError):
    """The provider was silent for longer than one of the deployment's `timeouts`."""

    status = 504
    code = "upstream_timeout"
