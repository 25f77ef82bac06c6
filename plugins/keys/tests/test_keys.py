"""Who is let in: known keys and nobody else, whatever is presented, however the file changes."""

from __future__ import annotations

import asyncio
import gc
import itertools
import re
import shlex
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
import structlog
from core.tests.asking import NoUpstream
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from headgate import Context, Exchange, Hooks, Principal, Secret, StartupError, Unauthenticated, Upstream
from headgate.operations import CHAT
from headgate.routing import Known
from headgate.secret import GatewaySecret
from headgate.testing import eventually, gateway
from headgate_keys import KeyConfig, Keys, KeysConfig, keyfile
from headgate_keys.keyfile import Key, KeyFile, digest_of


def context(folder: Path, deployments: tuple[str, ...] = ("demo",)) -> Context:
    upstream: Upstream = NoUpstream()
    ctx = Context(upstream, folder, "http://127.0.0.1:8787")
    ctx.known = Known(deployments, {})
    return ctx


def exchange(**headers: bytes | str) -> Exchange:
    raw = {
        name.replace("_", "-").encode(): value.encode() if isinstance(value, str) else value
        for name, value in headers.items()
    }
    return Exchange(CHAT, raw, request_id="req_1", trace_id="t")


def bearer(key: str) -> Exchange:
    return exchange(authorization=f"Bearer {key}")


def inline(key: str = "hg-known", **fields: Any) -> KeysConfig:
    return KeysConfig(keys=[KeyConfig(name="a", key=Secret(key), **fields)])


async def started(config: KeysConfig, folder: Path) -> Keys:
    keys = Keys(config)
    await keys.start(context(folder))
    return keys


@pytest.fixture
async def known(tmp_path: Path) -> AsyncIterator[Keys]:
    """Keys with the one key `hg-known`."""
    keys = await started(inline(), tmp_path)
    yield keys
    await keys.stop()


async def refused(keys: Keys, ex: Exchange) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await keys.authenticate(ex)
    assert caught.value.status == 401
    return caught.value.message


async def test_hook_authenticate(tmp_path: Path) -> None:
    """A known key gives its principal with everything that is configured."""
    config = inline(
        user="u",
        workspace="w",
        organisation="o",
        models=["m*"],
        scopes=["s"],
        metadata={"team": "x"},
        expires="2999-01-01",
        config="eu",
        allow_config=False,
        deadline_s=2.5,
        priority=3,
    )
    keys = await started(config, tmp_path)
    principal = await keys.authenticate(bearer("hg-known"))
    assert principal == Principal(
        "a",
        user="u",
        workspace="w",
        organisation="o",
        scopes=("s",),
        models=("m*",),
        metadata={"team": "x"},
        config="eu",
        allow_config=False,
        deadline_s=2.5,
        priority=3,
    )
    await keys.stop()


@pytest.mark.parametrize("header", ["x_headgate_api_key", "x_portkey_api_key", "api_key", "x_api_key"])
async def test_every_place_of_a_key(known: Keys, header: str) -> None:
    """A key is taken from any of the headers that clients send it in."""
    principal = await known.authenticate(exchange(**{header: "hg-known"}))
    assert principal is not None
    assert principal.key == "a"


def test_a_deadline_is_no_less_than_nothing() -> None:
    """A key with a time before now could never be used: the file says so."""
    with pytest.raises(ValueError, match="the `deadline_s` of `a` must be a number of seconds, 0 or more"):
        inline(deadline_s=-1.0)


def unused(secret: GatewaySecret, key: str) -> str:
    """A digest that no key has."""
    return f"hmac-sha256:{0:064x}"


async def test_a_key_in_use_is_recognised(known: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that was let in is let in again as the same principal, without a second HMAC; another one is not."""
    first = await known.authenticate(bearer("hg-known"))
    monkeypatch.setattr("headgate_keys.digest_of", unused)
    assert await known.authenticate(bearer("hg-known")) is first
    assert await known.authenticate(exchange(x_api_key="hg-known")) is first
    for other in ("hg-know", "hg-known2", "hg-Known"):
        await refused(known, bearer(other))


async def test_an_expired_key_is_not_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key ends at its time, also while it is in use."""
    keys = await started(inline(expires="2100-01-01"), tmp_path)
    assert await accepts(keys, "hg-known")
    monkeypatch.setattr(time, "time", lambda: 5_000_000_000.0)
    assert "expired" in await refused(keys, bearer("hg-known"))
    await keys.stop()


@pytest.mark.usefixtures("unwatched")
async def test_no_key_is_kept(tmp_path: Path) -> None:
    """Nothing that the plugin holds after a request contains the key it was made with."""
    store(tmp_path, "a")
    keys = await started(KeysConfig(), tmp_path)
    assert await accepts(keys, "hg-a")
    reached: dict[int, object] = {}
    waiting: list[object] = [getattr(keys, name) for name in vars(keys) if name != "_watching"]
    while waiting:
        held = waiting.pop()
        if id(held) not in reached and not isinstance(held, (type, ModuleType)):
            reached[id(held)] = held
            waiting += msgspec.structs.astuple(held) if isinstance(held, Struct) else gc.get_referents(held)
    texts = [held for held in reached.values() if isinstance(held, (str, bytes))]
    assert digest_of(GatewaySecret(tmp_path), "hg-a") in texts
    assert [text for text in texts if text in {"hg-a", b"hg-a", "Bearer hg-a", b"Bearer hg-a"}] == []
    await keys.stop()


async def test_without_a_key_nothing_is_said(known: Keys) -> None:
    """No key presented leaves the request to the next plugin."""
    assert await known.authenticate(exchange()) is None
    assert await known.authenticate(exchange(authorization="Basic YTpi")) is None


async def test_wrong_keys_cannot_be_told_apart(tmp_path: Path) -> None:
    """An unknown and a disabled key get the same words; only an expired one is told so."""
    config = KeysConfig(
        keys=[
            KeyConfig(name="off", key=Secret("hg-off"), disabled=True),
            KeyConfig(name="off-and-old", key=Secret("hg-off-and-old"), disabled=True, expires="2001-01-01"),
            KeyConfig(name="old", key=Secret("hg-old"), expires="2001-01-01T00:00:00+02:00"),
        ]
    )
    keys = await started(config, tmp_path)
    unknown = await refused(keys, bearer("hg-unknown"))
    assert await refused(keys, bearer("hg-off")) == unknown
    assert await refused(keys, bearer("hg-off-and-old")) == unknown
    assert "expired" in await refused(keys, bearer("hg-old"))
    await keys.stop()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder for many runs."""
    return tmp_path_factory.mktemp("state")


CREDENTIALS = st.binary(max_size=200) | st.text(max_size=50).map(str.encode) | st.just(b"\xff" * 100_000)


@given(credential=CREDENTIALS, header=st.sampled_from(["authorization", "x_api_key", "api_key", "x_headgate_api_key"]))
def test_any_credential_is_refused_or_absent(folder: Path, credential: bytes, header: str) -> None:
    """Whatever bytes are presented, the answer is a 401 or no opinion, never another error and never a principal."""

    async def present() -> None:
        keys = await started(inline(), folder)
        assert await accepts(keys, "hg-known")
        for value in (credential, b"Bearer " + credential, b"bearer  hg-known" + credential + b"x"):
            with suppress(Unauthenticated):
                assert await keys.authenticate(exchange(**{header: value})) is None
        await keys.stop()

    asyncio.run(present())


async def test_hook_start(tmp_path: Path) -> None:
    """Where there is no key, start makes one: 0600, stored as a digest, announced once with a line to paste."""
    ctx = context(tmp_path / "state")
    keys = Keys(KeysConfig())
    await keys.start(ctx)
    [text] = ctx.announcements
    [key] = set(re.findall(r"hg-[A-Za-z0-9_-]{43}", text))
    path = tmp_path / "state" / "keys.yaml"
    assert path.stat().st_mode & 0o777 == 0o600
    assert key not in path.read_text()
    principal = await keys.authenticate(bearer(key))
    assert principal is not None
    assert principal.key == "first"
    line = next(line for line in text.splitlines() if "curl" in line)
    assert shlex.split(line)[:2] == ["curl", "http://127.0.0.1:8787/v1/chat/completions"]
    assert '{"model": "demo/echo"' in line
    await keys.stop()


async def test_without_the_demo_the_line_lists_models(tmp_path: Path) -> None:
    """The line to paste works where there is no deployment `demo`."""
    ctx = context(tmp_path, deployments=("openai",))
    keys = Keys(KeysConfig())
    await keys.start(ctx)
    await keys.stop()
    assert "curl http://127.0.0.1:8787/v1/models" in ctx.announcements[0]


async def test_the_announced_request_is_answered() -> None:
    """The first key, used as announced, gets a chat reply from a whole gateway, and no other key does."""
    async with gateway(Keys(KeysConfig())) as client:
        [text] = client.gateway.context.announcements
        words = shlex.split(next(line for line in text.splitlines() if "curl" in line))
        headers = dict(word.split(": ", 1) for flag, word in itertools.pairwise(words) if flag == "-H")
        body = words[words.index("-d") + 1]
        reply = await client.post("/v1/chat/completions", headers=headers, content=body)
        assert reply.status_code == 200, reply.text
        headers["authorization"] += "x"
        reply = await client.post("/v1/chat/completions", headers=headers, content=body)
        assert reply.status_code == 401
        assert reply.json()["error"]["code"] == "invalid_api_key"
        assert (await client.get("/v1/models")).status_code == 401


async def test_one_of_several_workers_makes_the_first_key(tmp_path: Path) -> None:
    """Processes that start together share one first key, and one of them announces it."""
    contexts = [context(tmp_path) for _ in range(8)]
    workers = [Keys(KeysConfig()) for _ in contexts]
    await asyncio.gather(*(worker.start(ctx) for worker, ctx in zip(workers, contexts, strict=True)))
    announced = [text for ctx in contexts for text in ctx.announcements]
    assert len(announced) == 1
    match = re.search(r"hg-[\w-]{43}", announced[0])
    assert match is not None
    for worker in workers:
        assert await worker.authenticate(bearer(match[0])) is not None
        await worker.stop()


async def test_inline_keys_need_no_file(tmp_path: Path) -> None:
    """With keys in the configuration no first key is made."""
    keys = await started(inline(), tmp_path)
    assert not (tmp_path / "keys.yaml").exists()
    await keys.stop()


async def test_hook_stop(tmp_path: Path) -> None:
    """Stopping ends the task that watches the file, and a plugin that never started can be stopped."""
    before = asyncio.all_tasks()
    keys = await started(inline(), tmp_path)
    assert len(asyncio.all_tasks() - before) == 1
    await keys.stop()
    assert asyncio.all_tasks() == before
    await Keys(KeysConfig()).stop()


def store(folder: Path, *names: str) -> None:
    """A keys file with one key `hg-NAME` per name, replaced as the commands do."""
    secret = GatewaySecret(folder)
    held = [Key(name=name, digest=digest_of(secret, f"hg-{name}")) for name in names]
    keyfile.replace(folder / "keys.yaml", KeyFile(keys=held))


async def accepts(keys: Keys, key: str) -> bool:
    try:
        return await keys.authenticate(bearer(key)) is not None
    except Unauthenticated:
        return False


@pytest.fixture
def unwatched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are read again when the test says so."""
    monkeypatch.setattr("headgate_keys.POLL_S", 3600)


async def test_changes_of_the_file_are_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The running plugin notices new and revoked keys by itself."""
    monkeypatch.setattr("headgate_keys.POLL_S", 0.01)
    store(tmp_path, "a")
    keys = await started(KeysConfig(), tmp_path)
    store(tmp_path, "b")
    await eventually(lambda: accepts(keys, "hg-b"), "the new key was taken over")
    assert not await accepts(keys, "hg-a")
    await keys.stop()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("keys: [", "not valid YAML"),
        ("keys: [{name: b, digest: hg-plain}]", "hmac-sha256"),
        ("keys: [{name: b}]", "no `digest`"),
        ("keyz: []", "unknown field"),
        ("\xff", "UTF-8"),
        (None, "gone"),
    ],
)
@pytest.mark.usefixtures("unwatched")
async def test_a_broken_file_keeps_the_last_good_keys(tmp_path: Path, text: str | None, reason: str) -> None:
    """What cannot be used is logged once with its reason, without what stands in it, and changes nothing."""
    store(tmp_path, "a")
    keys = await started(KeysConfig(), tmp_path)
    path = tmp_path / "keys.yaml"
    if text is None:
        path.unlink()
    else:
        path.write_bytes(text.encode("latin-1"))
    with structlog.testing.capture_logs() as logs:
        keys.refresh()
        keys.refresh()
    assert [reason in entry["reason"] for entry in logs] == [True]
    assert "hg-plain" not in str(logs)
    assert await accepts(keys, "hg-a")
    await keys.stop()


@pytest.mark.usefixtures("unwatched")
async def test_a_repaired_file_counts_again(tmp_path: Path) -> None:
    """After a broken state the next good file is read."""
    store(tmp_path, "a")
    keys = await started(KeysConfig(), tmp_path)
    (tmp_path / "keys.yaml").write_text("]")
    keys.refresh()
    store(tmp_path, "b")
    keys.refresh()
    assert await accepts(keys, "hg-b")
    await keys.stop()


@pytest.mark.usefixtures("unwatched")
async def test_a_large_file_is_replaced_whole(tmp_path: Path) -> None:
    """While thousands of keys are read again, kept keys are let in all the time; then new ones count and old ones not."""
    names = [str(at) for at in range(5000)]
    store(tmp_path, "kept", "old", *names)
    keys = await started(KeysConfig(), tmp_path)
    store(tmp_path, "kept", "new", *names)
    reading = asyncio.create_task(asyncio.to_thread(keys.refresh))
    while not reading.done():
        assert await accepts(keys, "hg-kept")
        assert await accepts(keys, "hg-old") or await accepts(keys, "hg-new")
        assert not (await accepts(keys, "hg-new") and await accepts(keys, "hg-old"))
        await asyncio.sleep(0)
    assert [await accepts(keys, f"hg-{name}") for name in ("kept", "new", "old")] == [True, True, False]
    await keys.stop()


@pytest.mark.usefixtures("unwatched")
@pytest.mark.parametrize("change", [{"disabled": True}, {"expires": "2001-01-01"}])
async def test_a_changed_key_counts_as_it_is_now(tmp_path: Path, change: dict[str, Any]) -> None:
    """A key that is switched off or ended in the file is refused after the next reading, and let in again later."""
    kept = Key(name="a", digest=digest_of(GatewaySecret(tmp_path), "hg-a"))
    seen: list[bool] = []
    keyfile.replace(tmp_path / "keys.yaml", KeyFile(keys=[kept]))
    keys = await started(KeysConfig(), tmp_path)
    assert await accepts(keys, "hg-a")
    for key in (msgspec.structs.replace(kept, **change), kept):
        keyfile.replace(tmp_path / "keys.yaml", KeyFile(keys=[key]))
        keys.refresh()
        seen.append(await accepts(keys, "hg-a"))
    assert seen == [False, True]
    await keys.stop()


async def test_a_stopped_plugin_holds_no_keys(tmp_path: Path) -> None:
    """What has ended lets nobody in."""
    keys = await started(inline(), tmp_path)
    await keys.stop()
    assert not await accepts(keys, "hg-known")


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (KeysConfig(keys=[KeyConfig(name="a", key=Secret("x")), KeyConfig(name="a", key=Secret("y"))]), "two keys"),
        (KeysConfig(keys=[KeyConfig(name="a", key=Secret("x")), KeyConfig(name="b", key=Secret("x"))]), "the same key"),
    ],
)
async def test_ambiguous_keys_stop_the_start(tmp_path: Path, config: KeysConfig, reason: str) -> None:
    """Two keys of one name would share caches and limits, so they are refused; so is one key under two names."""
    with pytest.raises(StartupError, match=reason):
        await Keys(config).start(context(tmp_path))


async def test_a_broken_file_stops_the_start(tmp_path: Path) -> None:
    """At start there are no last good keys: the gateway says what is wrong."""
    (tmp_path / "keys.yaml").write_text("keys: 1")
    with pytest.raises(StartupError, match=r"keys\.yaml"):
        await Keys(KeysConfig()).start(context(tmp_path))


async def test_a_folder_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    """Where no first key can be kept, the gateway says why instead of starting without one."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match="cannot keep keys there"):
        await Keys(KeysConfig(file="file/keys.yaml")).start(context(tmp_path))


async def test_another_secret_stops_the_start(tmp_path: Path) -> None:
    """Digests made with another secret are named as such, not silently refused one by one."""
    await (await started(KeysConfig(), tmp_path)).stop()
    (tmp_path / "secret").write_text("another")
    with pytest.raises(StartupError, match="another gateway secret"):
        await Keys(KeysConfig()).start(context(tmp_path))


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "a"},
        {"name": "a", "key": Secret("k"), "digest": "hmac-sha256:" + "0" * 64},
        {"name": "", "key": Secret("k")},
        {"name": "a\x1b[31m", "key": Secret("k")},
        {"name": "a", "key": Secret("k"), "expires": "soon"},
        {"name": "a", "key": Secret("k"), "expires": 5},
    ],
)
def test_wrong_key_settings(fields: dict[str, Any]) -> None:
    """Settings that cannot work are refused when they are read."""
    with pytest.raises(ValueError, match=r"`(name|a|expires)`"):
        KeyConfig(**fields)


async def test_many_keys_cost_a_request_nothing(tmp_path: Path) -> None:
    """A request takes as long with 20,000 keys as with one, within a wide margin."""
    times: list[float] = []
    for count in (1, 20_000):
        folder = tmp_path / str(count)
        folder.mkdir()
        store(folder, *(str(at) for at in range(count)))
        keys = await started(KeysConfig(), folder)
        ex = bearer("hg-0")
        times.append(min([await measure(keys, ex) for _ in range(20)]))
        await keys.stop()
    assert times[1] < times[0] * 10


async def measure(keys: Keys, ex: Exchange) -> float:
    """Seconds that 100 authentications take."""
    start = time.perf_counter()
    for _ in range(100):
        await keys.authenticate(ex)
    return time.perf_counter() - start


def test_hook_commands() -> None:
    """The plugin brings the command `keys`."""
    assert [command.name for command in Keys(KeysConfig()).commands()] == ["keys"]
    assert issubclass(Keys, Hooks)
