"""What the documentation says of the commands is what they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from command_line import COMMANDS, lines, values
from dispersion_leaderboard.commands import NAME

from docs.commands import PAGES, page

ROOT = Path(__file__).parents[2]
PROSE = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "leaderboard" / "README.md", *(ROOT / "docs").glob("*.md")]
TYPED = [path for path in PROSE if path.name not in PAGES and "dispersion-leaderboard " in path.read_text("utf-8")]


def test_the_pages_that_show_commands_are_found() -> None:
    assert {"README.md", "leaderboard.md", "operations.md"} <= {path.name for path in TYPED}


@pytest.mark.parametrize("path", TYPED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_command_line_of_a_page_can_be_typed(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    blocks = lines("\n".join(re.findall(r"^ {4}[^\n]*|^```.*?^```", text, re.M | re.S)))
    inline = re.findall(r"`([^`\n]+)`", text)
    for words in (*blocks, *(words for code in inline for words in lines(code) if len(words) > 1)):
        given = values(words)
        assert words[0] != "work" or given["once"] != given["forever"], words
        assert words[0] != "predict" or (given["task"] is None) != (given["domain"] is None), words
    # What is told of a command without the whole of it, as `build --queue PLACE`.
    for words in (re.sub(rf"^{NAME} |[][]", "", code).split() for code in inline):
        if words and words[0] in COMMANDS:
            known = {option for param in COMMANDS[words[0]].params for option in param.opts}
            assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known, words


@pytest.mark.parametrize("name", PAGES)
def test_the_page_of_the_commands_is_their_own_help(name: str) -> None:
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == page(*PAGES[name]), "make docs"
