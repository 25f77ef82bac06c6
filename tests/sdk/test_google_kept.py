"""What the Gemini API keeps, with the `google-genai` package and a gateway key: files, batches, cached contents; and files of it
with the `openai` package.
"""

# The package's signatures name types of optional dependencies that are not installed.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google import genai
from google.genai import errors, types
from openai import AsyncOpenAI, BadRequestError
from openai.types import FileObject
from tests.door.upstream import Upstream
from tests.harness import CANARY, GATEWAY_KEY, Gateway, ask, eventually_idle, post
from tests.sdk.gemini_api import MADE, GeminiApi

pytestmark = [
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning"),
]
"""The package's own."""
LARGE = b"0123456789abcdef" * 1024 * 1100
"""Three pieces of 8 MiB, the last of them small."""
NAMED = {"x-headgate-provider": "gemini"}


@pytest.fixture
async def gateway(locked_gateway: Gateway) -> AsyncIterator[Gateway]:
    """A gateway that wants a key; no exchange may be running on it when the test is over."""
    yield locked_gateway
    await eventually_idle(locked_gateway)


@pytest.fixture
def api(upstream: Upstream, upstream_port: int) -> GeminiApi:
    """The vendor behind the deployment `gemini`."""
    held = GeminiApi(f"http://127.0.0.1:{upstream_port}", CANARY)
    upstream.script = held
    return held


@pytest.fixture(params=[None, "v1beta"])
async def google(gateway: Gateway, request: pytest.FixtureRequest) -> AsyncIterator[genai.Client]:
    """Google's client, which names the deployment with every request that it can. It calls `v1` or what it is told."""
    options = types.HttpOptions(base_url=gateway.url, headers=NAMED, timeout=20_000, api_version=request.param)
    held = genai.Client(api_key=GATEWAY_KEY, http_options=options)
    yield held
    await held.aio.aclose()
    held.close()


@pytest.fixture
async def openai_client(gateway: Gateway) -> AsyncIterator[AsyncOpenAI]:
    """OpenAI's client at the same deployment."""
    async with AsyncOpenAI(
        base_url=f"{gateway.url}/v1", api_key=GATEWAY_KEY, default_headers=NAMED, max_retries=0
    ) as held:
        yield held


@pytest.mark.parametrize("content", [b"hello", LARGE], ids=["small", "in pieces"])
async def test_upload(google: genai.Client, api: GeminiApi, content: bytes) -> None:
    """A file goes up through a session whose requests bear neither a key nor a deployment."""
    config = types.UploadFileConfig(mime_type="text/plain", display_name="notes", name="mine")
    file = await google.aio.files.upload(file=io.BytesIO(content), config=config)
    assert (file.name, file.display_name, file.size_bytes) == ("files/mine", "notes", len(content))
    assert api.held["files/mine"] == content


async def test_upload_from_a_path(google: genai.Client, api: GeminiApi, tmp_path: Path) -> None:
    """A path tells its type by its ending and its name by itself."""
    path = tmp_path / "notes.txt"
    path.write_bytes(b"hello")
    file = await google.aio.files.upload(file=path)
    assert (file.mime_type, file.display_name, file.state) == ("text/plain", "notes.txt", types.FileState.ACTIVE)
    assert api.held[file.name or ""] == b"hello"


async def test_files(google: genai.Client, api: GeminiApi) -> None:
    """They are asked for, listed, read where they were made, and deleted."""
    file = await google.aio.files.get(name="files/made")
    assert [each.name async for each in await google.aio.files.list()] == ["files/made"]
    assert await google.aio.files.download(file=file) == MADE
    await google.aio.files.delete(name="files/made")
    assert api.files == {}
    with pytest.raises(errors.ClientError, match="files/made is not there") as caught:
        await google.aio.files.get(name="files/made")
    assert caught.value.code == 404


@pytest.mark.filterwarnings("ignore:batches.create_embeddings")
async def test_batches(google: genai.Client, api: GeminiApi) -> None:
    """A batch is made of requests or of a file, for the model that an alias means, and asked for, listed, cancelled, deleted."""
    inline = types.BatchJobSource(inlined_requests=[types.InlinedRequest(contents="hi")])
    one = await google.aio.batches.create(model="gemini-2.5-flash", src=inline)
    two = await google.aio.batches.create(model="gemini-2.5-flash", src="files/mine", config={"display_name": "b"})
    vectors = types.EmbeddingsBatchJobSource(file_name="files/mine")
    three = await google.aio.batches.create_embeddings(model="gemini-2.5-flash", src=vectors)
    assert {each["metadata"]["model"] for each in api.kept.values()} == {"models/gemini-2.5-flash"}
    assert api.kept[two.name or ""]["asked"]["batch"]["inputConfig"] == {"fileName": "files/mine"}
    assert (await google.aio.batches.get(name=one.name or "")).state == types.JobState.JOB_STATE_PENDING
    await google.aio.batches.cancel(name=one.name or "")
    assert (await google.aio.batches.get(name=one.name or "")).state == types.JobState.JOB_STATE_CANCELLED
    await google.aio.batches.delete(name=three.name or "")
    assert {each.name async for each in await google.aio.batches.list()} == {one.name, two.name}


async def test_caches(google: genai.Client, api: GeminiApi) -> None:
    """Contents are cached for the model that an alias means, kept longer, listed and deleted."""
    config = types.CreateCachedContentConfig(contents="long", ttl="60s")
    cache = await google.aio.caches.create(model="gemini-2.5-flash", config=config)
    name = cache.name or ""
    assert cache.model == "models/gemini-2.5-flash"
    await google.aio.caches.update(name=name, config=types.UpdateCachedContentConfig(ttl="90s"))
    assert api.kept[name]["ttl"] == "90s"
    assert (await google.aio.caches.get(name=name)).name == name
    assert [each.name async for each in await google.aio.caches.list()] == [name]
    await google.aio.caches.delete(name=name)
    assert api.kept == {}


async def test_aliases(gateway: Gateway, api: GeminiApi) -> None:
    """Where no deployment is named, a new batch and a new cache find theirs by the model."""
    options = types.HttpOptions(base_url=gateway.url)
    with genai.Client(api_key=GATEWAY_KEY, http_options=options) as client:
        await asyncio.to_thread(client.batches.create, model="gemini", src="files/mine")
        config = types.CreateCachedContentConfig(contents="long")
        await asyncio.to_thread(client.caches.create, model="gemini", config=config)
    batch, cache = api.kept.values()
    assert (batch["metadata"]["model"], cache["model"]) == ("models/gemini-2.5-flash", "models/gemini-2.5-flash")


async def test_other_paths_are_passed(gateway: Gateway, api: GeminiApi) -> None:
    """What the gateway does not know of the API is passed to the deployment that a header names, else it is said."""
    api.kept["tunedModels/mine"] = {"name": "tunedModels/mine"}
    key = b"x-goog-api-key: %b\r\n" % GATEWAY_KEY.encode()
    request = b"GET /v1beta/tunedModels/mine HTTP/1.1\r\nhost: gateway\r\n" + key
    answer = await ask(gateway, request + b"x-headgate-provider: gemini\r\n\r\n")
    assert (answer.status, answer.json) == (200, {"name": "tunedModels/mine"})
    unnamed = await ask(gateway, request + b"\r\n")
    assert (unnamed.status, unnamed.json["error"]["status"]) == (404, "NOT_FOUND")
    assert "in the header `x-headgate-provider`" in unnamed.json["error"]["message"]
    elsewhere = await ask(gateway, request + b"x-headgate-provider: mock\r\n\r\n")
    assert (elsewhere.status, elsewhere.json["error"]["status"]) == (400, "INVALID_ARGUMENT")


async def begin(gateway: Gateway) -> str:
    """The path of the address that a new session of an upload has."""
    headers = [b"x-goog-api-key: " + GATEWAY_KEY.encode(), b"x-headgate-provider: gemini"]
    headers += [b"x-goog-upload-command: start", b"x-goog-upload-header-content-length: 5"]
    body = json.dumps({"file": {"mimeType": "text/plain"}}).encode()
    answer = await ask(gateway, post(body, b"".join(each + b"\r\n" for each in headers), target=b"/upload/v1/files"))
    address = answer.header("x-goog-upload-url")
    assert address is not None
    assert address.startswith("http://gateway/upload/v1/files?session=")
    return address.removeprefix("http://gateway")


async def put(gateway: Gateway, path: str) -> Any:
    """What the gateway answers to the only piece of an upload."""
    headers = b"x-goog-upload-command: upload, finalize\r\nx-goog-upload-offset: 0\r\n"
    return await ask(gateway, post(b"hello", headers, target=path.encode()))


async def test_only_the_gateways_own_addresses(gateway: Gateway, api: GeminiApi) -> None:
    """An address lets its bearer go on with that upload and no other; one that was changed is none."""
    path = await begin(gateway)
    changed = [
        path[:-1] + ("0" if path[-1] != "0" else "1"),
        path.replace("session=W", "session=X"),
        path[:60],
    ]
    for each in [*changed, "/upload/v1beta/files?session=.", "/upload/v1beta/files?session=.x"]:
        answer = await put(gateway, each)
        assert (answer.status, answer.json["error"]["status"]) == (404, "NOT_FOUND"), each
    assert (await put(gateway, "/upload/v1beta/files?upload_id=u0")).status == 401
    assert api.held == {}
    assert (await put(gateway, path)).json["file"]["name"] == "files/f1"
    assert list(api.held.values()) == [b"hello"]


async def test_openai(openai_client: AsyncOpenAI, api: GeminiApi) -> None:
    """A file goes up in one body, is told in OpenAI's shape, read by a model, and deleted."""
    for content in (b"{}\n", b"{}\n" * 100_000):
        file = await openai_client.files.create(file=("in.jsonl", content), purpose="batch")
        FileObject.model_validate(file.to_dict())
        assert (file.bytes, file.filename, file.status, file.purpose) == (
            len(content),
            "in.jsonl",
            "processed",
            "batch",
        )
        assert api.held[file.id] == content
        assert api.files[file.id]["mimeType"] == "application/jsonl"
    assert (await openai_client.files.retrieve("files/f2")).id == "files/f2"
    assert [each.id async for each in openai_client.files.list()] == ["files/made", "files/f1", "files/f2"]
    assert (await openai_client.files.content("files/made")).content == MADE
    assert (await openai_client.files.content("made")).content == MADE
    deleted = await openai_client.files.delete("files/f1")
    assert (deleted.id, list(api.files)) == ("files/f1", ["files/made", "files/f2"])
    with pytest.raises(BadRequestError, match="`purpose` cannot be `fine-tune`"):
        await openai_client.files.create(file=("in.jsonl", b"{}"), purpose="fine-tune")
