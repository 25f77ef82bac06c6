"""What `GET /v1/models` lists: aliases, and the models of every deployment, as far as the caller may use them."""

from __future__ import annotations

import msgspec

from headgate.exchange import Exchange
from headgate.plan import Plan


def list_models(plan: Plan, ex: Exchange) -> bytes:
    """An OpenAI model list (https://platform.openai.com/docs/api-reference/models/list).

    A deployment that names no models is listed as `deployment/*`: any model name of that vendor can be used.
    """
    principal = ex.principal
    names = {alias: "headgate" for alias in plan.models if alias != "*"}
    for name, provider in plan.deployments.items():
        for model in provider.config.models or provider.models or ("*",):
            names[f"{name}/{model}"] = provider.name
    data = [
        {"id": name, "object": "model", "created": 0, "owned_by": owner}
        for name, owner in names.items()
        if principal is None or principal.allows(name)
    ]
    return msgspec.json.encode({"object": "list", "data": data})
