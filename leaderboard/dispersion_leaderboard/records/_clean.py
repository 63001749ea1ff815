"""Strings from results files are anyone's: no credential, no home path and no invisible character gets past here."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

REDACTED = "[redacted]"
LONGEST = 2_000

_SECRETS = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?:hf_|api_org_)(?:[A-Za-z0-9]{8,}|\w{16,})"
    r"|sk-[A-Za-z0-9_-]{12,}"
    r"|(?:gh[pousr]|github_pat|glpat|npm|gsk|xai|nvapi|r8|pypi)[_-][A-Za-z0-9_-]{12,}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{12,}"
    r"|AIza[A-Za-z0-9_-]{20,}"
    r"|xox[abprs]-[A-Za-z0-9-]{8,}"
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_.-]{8,}"
    r"|(?i:bearer)\s+[A-Za-z0-9._~+/-]{8,}=*"
    r")"
    r"|(?<=://)[^/\s@]+(?=@)"
)
_NAMED = re.compile(
    r"(?P<name>(?i:token|passw(?:or)?d|secret|api[_-]?key|access[_-]?key|auth)(?:=|['\"]\s*:\s*)['\"]?)[^\s,&'\"}]+"
)
# Under a home anything up to the last separator may be somebody's name, spaces included. Elsewhere a path begins where
# a word does: the slashes of and/or, </think>, org/model and https:// begin none.
_PATH = re.compile(
    r"(?:[A-Za-z]:)?(?<![\\/])[\\/]+(?i:home|users)[\\/](?:[^,;'\"<>|\n]*[\\/])?[^\s,;'\"<>|]*"
    r"|(?<![A-Za-z0-9])[A-Za-z]:[\\/][^\s,;'\"<>|]*"
    r"|\\\\[^\s,;'\"<>|]+"
    r"|(?:(?<=file://)|(?<![^\s=,;:'\"(\[{|`]))(?:~[\w.-]*/|/|(?:\.\.[\\/])+)(?=[\w.~-])[^\s,;'\"<>|]*"
)
_HOMES = ("home", "users")


def clean(value: object) -> str:
    """A value as text that may be shown: credentials out, absolute and home paths cut to their last part.

    Invisible and direction-changing characters, which could make a name read as another one, become ``‹U+XXXX›``. What
    is neither text nor a number is no text.
    """
    return _clean(str(value)) if isinstance(value, str | int | float) else ""


@lru_cache(4096)
def _clean(whole: str) -> str:
    """Remembered: the same few names stand in every row of every file."""
    # Cut only after the search, which a credential cut in two would escape.
    text = whole[: 20 * LONGEST]
    text = _SECRETS.sub(REDACTED, text)
    text = _NAMED.sub(lambda found: found["name"] + REDACTED, text)
    text = _PATH.sub(lambda found: last_part(found.group()), text)
    return "".join(map(_visible, text)).strip()[:LONGEST].rstrip()


def last_part(path: str) -> str:
    """The file or folder name of an absolute path of either system; "" for a bare root or home."""
    parts = [part for part in re.split(r"[\\/]+", path) if part not in ("", ".", "..")]
    homes = [i for i, part in enumerate(parts) if part.lower() in _HOMES]
    if homes:
        # The next part is a person.
        parts = parts[homes[-1] + 2 :]
    alone = len(parts) == 1 and (parts[0] == "root" or parts[0].startswith("~") or parts[0].endswith(":"))
    return parts[-1] if parts and not alone else ""


def is_absolute(path: str) -> bool:
    """Whether a path says where on someone's machine a thing lies."""
    return path.startswith(("/", "~", "\\", "file:")) or path[1:3] in (":\\", ":/")


def _visible(character: str) -> str:
    if unicodedata.category(character) in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp"):
        return " " if character in "\n\r\t" else f"‹U+{ord(character):04X}›"
    return character
