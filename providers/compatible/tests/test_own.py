"""What a deployment says of a vendor or of a server of one's own: placeholders, quirks, headers, paths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from providers.compatible.tests.calls import VENDORS, deploy, deploy_row, exchange, row_of

from headgate.errors import StartupError, UnsupportedField
from headgate.exchange import Principal
from headgate.provider import Provider
from headgate.secret import Secret
from headgate.testing import ReplayUpstream
from headgate_compatible import Compatible, Quirks, catalogue
from headgate_compatible.catalogue import provider_of, read_row


def own(row: Mapping[str, Any] | None = None, **config: Any) -> Provider:
    quirks = msgspec.convert(row or {}, Quirks)
    held: dict[str, Any] = {"base_url": "http://127.0.0.1:9000/v1", "row": quirks, **config}
    return deploy(Compatible, **held)


# responses and their state

STATELESS = frozenset(
    (
        *("baseten", "bytez", "cloudflare", "deepseek", "groq", "huggingface", "llamacpp", "minimax", "mistral"),
        *("moonshot", "ollama-openai"),
        "openrouter",
        *("ovhcloud", "sambanova", "scaleway", "vllm"),
    )
)
"""Whose documents say that nothing can go on from a response by its id; each row names the page."""


def test_who_keeps_responses() -> None:
    """The vendors that document it keep nothing; every other one keeps as its documents say, or is taken to, like OpenAI."""
    found = {name for name in VENDORS if not deploy_row(name).keeps_responses}
    assert found == STATELESS
    assert all("responses" in row_of(name).operations for name in found)


@pytest.mark.parametrize("name", sorted(STATELESS))
@pytest.mark.parametrize("store", [True, False])
def test_who_keeps_nothing_is_not_asked_to(name: str, store: bool) -> None:
    """`store` means nothing to them, and some refuse it: it is left out and named, and nothing else changes."""
    provider = deploy_row(name)
    body = msgspec.json.encode({"model": "m", "store": store, "input": "hi"})
    ex = exchange(provider, body, "responses")
    assert provider.prepare(ex).body == b'{"model":"m","input":"hi"}'
    assert ex.dropped == ["store"]
    plain = exchange(provider, b'{"model":"m","input":"hi"}', "responses")
    assert (provider.prepare(plain).body, plain.dropped) == (b'{"model":"m","input":"hi"}', [])


def test_a_vendor_that_keeps_responses_is_told_what_to_keep() -> None:
    """Where the vendor has a store, what the client says of it passes."""
    provider = deploy_row("xai")
    assert provider.keeps_responses
    ex = exchange(provider, b'{"model":"m","store":false,"input":"hi"}', "responses")
    assert provider.prepare(ex).body == b'{"model":"m","store":false,"input":"hi"}'


def test_a_server_of_ones_own_that_keeps_nothing() -> None:
    """A row of one's own says so too."""
    assert own().keeps_responses
    provider = own({"keeps_responses": False}, operations=["responses"])
    assert not provider.keeps_responses
    ex = exchange(provider, b'{"model":"m","store":true}', "responses")
    assert provider.prepare(ex).body == b'{"model":"m"}'


# placeholders


def test_missing_placeholder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing placeholder and missing key are both reported, with the variable that would fill the first."""
    monkeypatch.delenv("CLOUDFLARE_ACCOUNT_ID", raising=False)
    with pytest.raises(StartupError) as caught:
        deploy(catalogue()["cloudflare"])
    first, second = (problem.message for problem in caught.value.problems)
    assert first == "`vars.account_id` is missing: set it, or the environment variable `CLOUDFLARE_ACCOUNT_ID`"
    assert "`api_key` is missing" in second


def test_vars_go_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value in the configuration wins over the environment."""
    monkeypatch.setenv("CLOUDFLARE_ACCOUNT_ID", "from-env")
    assert "/accounts/acc-1/" in deploy_row("cloudflare").url
    assert "/accounts/from-env/" in deploy_row("cloudflare", vars={}).url


def test_unknown_vars_are_refused() -> None:
    """A misspelt placeholder is an error with a suggestion."""
    with pytest.raises(StartupError, match="did you mean `account_id`"):
        deploy_row("cloudflare", vars={"account_id": "a", "acount_id": "b"})


def test_placeholders_of_ones_own() -> None:
    """A base URL in the configuration may hold placeholders too."""
    assert own(base_url="https://{zone}.lab.example/v1", vars={"zone": "eu"}).url == "https://eu.lab.example/v1"


# a row of one's own


def test_own_row_needs_a_base_url() -> None:
    """`compatible` without a base URL cannot start; a key is optional and the environment never switches it on."""
    with pytest.raises(StartupError, match="`base_url` is missing"):
        deploy(Compatible)
    assert own().prepare(exchange(own())).credential is None
    assert Compatible.from_environment() is None


def test_own_row_from_yaml() -> None:
    """The whole of a row of one's own decodes from configuration and does what it says."""
    written = {
        "provider": "compatible",
        "base_url": "http://127.0.0.1:9000/v1",
        "row": {"rename": {"seed": "random_seed"}, "refuse": ["logit_bias"], "headers": {"X-Team": "lab"}},
        "operations": ["chat", "responses"],
    }
    provider = Compatible("mylab", msgspec.convert(written, Compatible.Config), ReplayUpstream())
    request = provider.prepare(exchange(provider, b'{"model":"m","seed":1,"messages":[]}'))
    assert request.body == b'{"model":"m","random_seed":1,"messages":[]}'
    assert dict(request.headers)[b"x-team"] == b"lab"
    assert list(provider.dialects) == ["chat", "responses"]
    assert list(Compatible.dialects) == ["chat", "completions", "embeddings", "passthrough"]
    with pytest.raises(UnsupportedField, match="`logit_bias` cannot be sent to `compatible`"):
        provider.prepare(exchange(provider, b'{"model":"m","logit_bias":{"1":5}}'))


@pytest.mark.parametrize("field", ["renames", "keyless", "base_url"])
def test_own_row_is_a_closed_set(field: str) -> None:
    """Only the known quirks are accepted in a row of one's own, and a vendor's deployment takes none."""
    with pytest.raises(msgspec.ValidationError, match=field):
        msgspec.convert({"provider": "compatible", "row": {field: {}}}, Compatible.Config)
    with pytest.raises(msgspec.ValidationError, match="row"):
        msgspec.convert({"provider": "groq", "row": {}}, catalogue()["groq"].Config)


def test_rows_are_a_closed_set() -> None:
    """A TOML row with an unknown field, operation or word is refused by name."""
    text = 'name = "x"\nbase_url = "https://x/v1"\ndocs = "https://x"\noperations = ["chat"]\n'
    assert read_row(text).evidence == "documents"
    wrongs = (("colour = 1", "colour"), ('evidence = "hearsay"', "evidence"), ("keyless = 1", "keyless"))
    for wrong, match in (*wrongs, ('knows = ["x"]', "knows"), ('switch = "x"', "switch")):
        with pytest.raises(msgspec.ValidationError, match=match):
            read_row(text + wrong)


def test_headers_of_the_deployment_win() -> None:
    """Headers in the deployment's configuration go before those of its row."""
    provider = own({"headers": {"x-team": "row"}}, headers={"X-Team": Secret("deployment")})
    assert dict(provider.prepare(exchange(provider)).headers)[b"x-team"] == b"deployment"


def test_openai_account_headers_stay_at_openai() -> None:
    """What OpenAI defines for its own accounts and betas is not sent to other vendors."""
    provider = own()
    headers = {b"x-headgate-openai-project": b"p", b"openai-beta": b"b", b"idempotency-key": b"k"}
    sent = dict(provider.prepare(exchange(provider, headers=headers)).headers)
    assert b"openai-project" not in sent
    assert b"openai-beta" not in sent
    assert sent[b"idempotency-key"] == b"k"


def test_headers_of_messages() -> None:
    """A version goes with the Messages API wherever it is spoken, the client's own if it has one, and its betas."""
    provider = deploy_row("openrouter")
    sent = dict(provider.prepare(exchange(provider, operation="messages")).headers)
    assert sent[b"anthropic-version"] == b"2023-06-01"
    asked = {b"anthropic-version": b"2026-10-21", b"anthropic-beta": b"b"}
    sent = dict(provider.prepare(exchange(provider, operation="messages", headers=asked)).headers)
    assert asked.items() <= sent.items()
    assert not asked.keys() & dict(provider.prepare(exchange(provider, headers=asked)).headers)


def test_models_path() -> None:
    """Passed-through model paths go where the vendor keeps them; names that only begin alike do not."""
    row = msgspec.structs.replace(row_of("vllm"), models_path="/api/models")
    provider = deploy(provider_of(row))

    def url(path: str, query: bytes = b"") -> str:
        return provider.prepare(exchange(provider, b"", "passthrough", method="GET", path=path, query=query)).url

    assert url("/v1/models/a%2Fb", b"x=1") == "http://127.0.0.1:8000/v1/api/models/a%2Fb?x=1"
    assert url("/v1/models") == "http://127.0.0.1:8000/v1/api/models"
    assert url("/v1/modelsets") == "http://127.0.0.1:8000/v1/modelsets"


def test_a_callers_own_host() -> None:
    """A caller's own host has paths as the caller wrote them; operations that the vendor has elsewhere stay where it has them."""
    provider = deploy(provider_of(msgspec.structs.replace(row_of("vllm"), models_path="/api/models")))
    ex = exchange(provider, b"", "passthrough", method="GET", path="/v1/models/m")
    ex.base_url = "https://elsewhere.example/v1"
    ex.principal = Principal("caller", credential=Secret("sk"))
    assert provider.prepare(ex).url == "https://elsewhere.example/v1/models/m"
    writer = deploy_row("writer")
    ex = exchange(writer)
    ex.base_url = "https://elsewhere.example/v1"
    assert writer.prepare(ex).url == "https://elsewhere.example/v1/chat"
