"""Strings from results files are anyone's: no credential, no home path and no invisible character gets past here."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath, PureWindowsPath

REDACTED = "[redacted]"
LONGEST = 2_000

_SECRETS = re.compile(
    r"\b(?:hf_|api_org_)[A-Za-z0-9]{8,}"
    r"|\bsk-[A-Za-z0-9_-]{12,}"
    r"|\b(?:ghp|gho|ghs|ghu|github_pat|glpat)[_-][A-Za-z0-9_-]{12,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{12,}"
    r"|\bAIza[A-Za-z0-9_-]{20,}"
    r"|\bxox[abprs]-[A-Za-z0-9-]{8,}"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_.-]{8,}"
    r"|\bBearer\s+[A-Za-z0-9._-]{8,}"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
    r"|(?i:(?<=token=)|(?<=password=)|(?<=secret=)|(?<=api_key=)|(?<=apikey=))[^\s,&]+"
)
_PATH = re.compile(r"(?:[A-Za-z]:[\\/]|(?<![\w.:/])[~/]|\\\\)[^\s,;'\"<>|]*")


def clean(value: object) -> str:
    """A value as text that may be shown: credentials out, absolute and home paths cut to their last part.

    Invisible and direction-changing characters, which could make a name read as another one, become ``‹U+XXXX›``.
    """
    text = str(value)[:LONGEST]
    text = _SECRETS.sub(REDACTED, text)
    text = _PATH.sub(lambda found: last_part(found.group()), text)
    return "".join(map(_visible, text)).strip()


def last_part(path: str) -> str:
    """The file or folder name of an absolute path of either system; "" for a bare root or home."""
    parts = PureWindowsPath(path) if "\\" in path or path[1:2] == ":" else PurePosixPath(path)
    return "" if path in ("~", "/") else parts.name


def is_absolute(path: str) -> bool:
    """Whether a path says where on someone's machine a thing lies."""
    return path.startswith(("/", "~", "\\")) or path[1:3] in (":\\", ":/")


def _visible(character: str) -> str:
    if unicodedata.category(character) in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp"):
        return " " if character in "\n\r\t" else f"‹U+{ord(character):04X}›"
    return character
