"""Manifests, the namespace and the search for the highest rate; nothing here asserts a time."""

import os
import subprocess
import sys
import time
from pathlib import Path

import peers
import psutil
import pytest
from ceiling import P99_MS, find_ceiling
from manifests import Manifest, decode_manifest, fill, load_manifests, with_floors
from network import Namespace, remove_leftovers
from network import missing_reason as no_namespace
from processes import BenchError, Child
from targets import all_on_config, default_config

GOOD = 'name = "fast"\nabout = "a gateway"\ncommand = ["fast", "--port", "{port}"]\n'
SHIPPED = ["direct", "direct-veth", "nginx", "bare", "prototype", "defaults", "all-on", "portkey", "litellm"]

can_make_namespaces = pytest.mark.skipif(bool(no_namespace()), reason=no_namespace())


def test_manifests_are_complete() -> None:
    """Every shipped gateway loads, in the order of the tables, and says what it is and how it starts."""
    manifests = load_manifests()
    assert list(manifests) == SHIPPED
    assert all(one.about and one.command for one in manifests.values())


def test_peers_are_pinned() -> None:
    """What a package registry gives has an exact version, and the versions below it are in a lock file without hosts."""
    for manifest in load_manifests().values():
        if manifest.install.kind in {"npm", "pip"}:
            lock = peers.lock_of(manifest).read_text()
            assert all(manifest.install.packages.values())
            assert "resolved" not in lock
            assert "http://" not in lock
            assert "https://" not in lock


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD + "colour = 1\n", "unknown field `colour`"),
        (GOOD + '[install]\nkind = "npm"\nversion = "1"\n', r"unknown field `version` - at `\$.install`"),
        (GOOD.replace('command = ["fast"', 'command = ["{fast}"'), "`command` has the placeholder `{fast}`"),
        (GOOD + '[files]\n"a.conf" = "listen {prot};"\n', "`files.a.conf` has the placeholder `{prot}`"),
        (GOOD + '[install]\nkind = "pip"\n', "`install.packages` does not go with `install.kind` `pip`"),
        (GOOD + '[install]\nkind = "pip"\npackages = { fast = "" }\n', "`install` has no version for `fast`"),
        (GOOD.replace('"fast"\nabout', '"slow"\nabout'), "`name` is `slow`, but the file is called `fast`"),
        ("name = 1\n" + GOOD.partition("\n")[2], r"Expected `str`, got `int` - at `\$.name`"),
        ("name\n", "fast.toml"),
    ],
)
def test_bad_manifest_names_file_and_key(text: str, said: str) -> None:
    """A manifest that is wrong is refused with its file and the key that is at fault."""
    with pytest.raises(BenchError, match=r"`fast.toml`") as caught:
        decode_manifest(text, "fast.toml")
    assert said.replace("\\", "") in str(caught.value)


def test_floor_must_be_an_upstream(tmp_path: Path) -> None:
    """A latency cannot be counted from a target that is itself a gateway."""
    (tmp_path / "fast.toml").write_text(GOOD + 'floor = "fast"\n')
    with pytest.raises(BenchError, match="`floor` `fast` is no target with role `upstream`"):
        load_manifests(tmp_path)


def test_floors_come_along() -> None:
    """Whatever is chosen, `direct` and the floor of each target are measured too."""
    manifests = load_manifests()
    assert with_floors(["bare"], manifests) == ["direct", "bare"]
    assert with_floors(["portkey"], manifests) == ["direct", "direct-veth", "portkey"]


def test_only_known_placeholders_are_filled() -> None:
    """Braces of a configuration language and of patterns stay as they are."""
    assert fill(r"http { listen {port}; } \d{3} {a: 1}", {"port": "80"}) == r"http { listen 80; } \d{3} {a: 1}"


def test_configurations_of_ours_come_from_their_manifests(tmp_path: Path) -> None:
    """Other measurements start from the same two configurations."""
    assert default_config(9)["plugins"] == []
    assert "http://127.0.0.1:9/v1" in str(default_config(9)["providers"])
    assert str(tmp_path / "records.jsonl") in str(all_on_config(9, tmp_path)["plugins"])


def test_what_is_not_installed_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that is missing, or that was installed from another manifest, has a reason that says what to do."""
    monkeypatch.setattr("manifests.PEERS", tmp_path)
    manifest = Manifest(
        name="fast", about="", command=["fast"], install=peers.Install(kind="npm", packages={"fast": "1.0.0"})
    )
    assert peers.missing_reason(manifest) == "it is not installed: `make bench-peers`"
    (tmp_path / "fast").mkdir()
    (tmp_path / "fast" / "installed.json").write_text('{"spec":"other","versions":{},"size_mb":1}')
    assert peers.missing_reason(manifest).startswith("its manifest has changed")
    (tmp_path / "fast" / "installed.json").write_text(
        f'{{"spec":"{peers.spec_of(manifest)}","versions":{{"fast":"1.0.0"}},"size_mb":1}}'
    )
    assert peers.missing_reason(manifest) == ""


def test_size_leaves_byte_code_out(tmp_path: Path) -> None:
    """An installation is as large as its files, whether it has run or not."""
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_bytes(b"x" * 500_000)
    (tmp_path / "a.py").write_bytes(b"x" * 2_000_000)
    assert peers.size_mb(tmp_path) == 2.0


@pytest.mark.parametrize("capacity", [10.0, 900.0, 4000.0])
def test_highest_rate_is_found(capacity: float) -> None:
    """From a guess that is too high or too low the search ends close below what the target carries."""

    def probe(rate: float) -> tuple[float | None, float, float]:
        return (10.0 if rate <= capacity else P99_MS + 1), min(1.0, rate / capacity), 0.1

    found = find_ceiling(probe, 1000.0, 30)
    assert capacity * 0.9 < found.per_second <= capacity
    assert not found.is_driver_bound


def test_failures_bound_the_rate_and_a_full_driver_is_told() -> None:
    """A failed exchange rules a rate out however fast the others were; a rate below the target's own is marked."""

    def fail(rate: float) -> tuple[float | None, float, float]:
        return None, 0.0, 0.0

    def idle(rate: float) -> tuple[float | None, float, float]:
        return 1.0, 0.2, 0.9

    assert find_ceiling(fail, 100.0, 3).per_second == 0
    assert find_ceiling(idle, 100.0, 3).is_driver_bound


def namespaces() -> str:
    return subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout


def inside(name: str) -> list[str]:
    return subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=True).stdout.split()


def links() -> str:
    return subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout


@can_make_namespaces
def test_namespace_is_reached_and_removed(tmp_path: Path) -> None:
    """A server inside listens on every interface and answers on the pair's address; afterwards nothing is left."""
    script = str(Path(__file__).parent / "upstream.py")
    with Namespace() as namespace:
        command = [*namespace.command, sys.executable, script, "--host", "0.0.0.0", "--port", "9000"]
        with Child("inside", command, tmp_path / "log") as child:
            child.wait_ready(9000, b"{}", host=namespace.inside)
        assert namespace.name in namespaces()
    assert namespace.name not in namespaces()
    assert namespace.name not in links()


@can_make_namespaces
def test_namespace_is_removed_after_a_failure(tmp_path: Path) -> None:
    """An exception inside leaves neither the namespace nor what runs in it."""
    name = ""

    def fail() -> None:
        nonlocal name
        with Namespace() as namespace:
            name = namespace.name
            raise BenchError("failed")

    with pytest.raises(BenchError, match="failed"):
        fail()
    assert name
    assert name not in namespaces()


@can_make_namespaces
def test_leftovers_of_killed_runs_are_removed() -> None:
    """A namespace whose run is gone is removed with its processes; that of a running one stays."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    name, own = f"hgbench{gone.pid}", f"hgbench{os.getpid()}"
    for one in (name, own):
        subprocess.run(["ip", "netns", "add", one], check=True)
    left = subprocess.Popen(["ip", "netns", "exec", name, "sleep", "60"])
    try:
        deadline = time.monotonic() + 10
        while not inside(name) and time.monotonic() < deadline:
            os.sched_yield()
        assert inside(name) == [str(left.pid)]
        assert remove_leftovers() == [name]
        assert not psutil.pid_exists(left.pid)
        assert own in namespaces()
    finally:
        left.kill()
        subprocess.run(["ip", "netns", "delete", own], check=True)
