"""Headgate: an AI gateway made of plugins.

What plugin and provider authors need is importable from here; `headgate.hooks` is the contract itself.
"""

from typing_extensions import override

from headgate.context import Context
from headgate.errors import (
    Blocked,
    BodyTimeout,
    BodyTooLarge,
    BudgetExceeded,
    Forbidden,
    HeadgateError,
    HookFailed,
    InvalidRequest,
    MethodNotAllowed,
    ModelNotFound,
    Overloaded,
    Problem,
    ProviderBusy,
    ProviderError,
    ProviderFailed,
    ProviderTimeout,
    RateLimited,
    RequestError,
    RouteNotFound,
    StartupError,
    Unauthenticated,
    UnsupportedField,
)
from headgate.exchange import Attempt, Closing, Exchange, Principal, Reply, Retry, Target
from headgate.hooks import (
    Call,
    Check,
    CheckFactory,
    Command,
    Hooks,
    Outcome,
    Scene,
    StateStore,
    Strategy,
    Verdict,
    Window,
    hookimpl,
)
from headgate.plan import Plan
from headgate.provider import DeploymentConfig, Provider
from headgate.secret import GatewaySecret, Secret
from headgate.upstream import Credential, Timeouts, Upstream, UpstreamRequest, UpstreamResponse
from headgate.version import VERSION

__version__ = VERSION

__all__ = [
    "Attempt",
    "Blocked",
    "BodyTimeout",
    "BodyTooLarge",
    "BudgetExceeded",
    "Call",
    "Check",
    "CheckFactory",
    "Closing",
    "Command",
    "Context",
    "Credential",
    "DeploymentConfig",
    "Exchange",
    "Forbidden",
    "GatewaySecret",
    "HeadgateError",
    "HookFailed",
    "Hooks",
    "InvalidRequest",
    "MethodNotAllowed",
    "ModelNotFound",
    "Outcome",
    "Overloaded",
    "Plan",
    "Principal",
    "Problem",
    "Provider",
    "ProviderBusy",
    "ProviderError",
    "ProviderFailed",
    "ProviderTimeout",
    "RateLimited",
    "Reply",
    "RequestError",
    "Retry",
    "RouteNotFound",
    "Scene",
    "Secret",
    "StartupError",
    "StateStore",
    "Strategy",
    "Target",
    "Timeouts",
    "Unauthenticated",
    "UnsupportedField",
    "Upstream",
    "UpstreamRequest",
    "UpstreamResponse",
    "Verdict",
    "Window",
    "__version__",
    "hookimpl",
    "override",
]
