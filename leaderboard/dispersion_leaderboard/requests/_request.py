"""What is asked for: one model at one commit, in one configuration, on one suite. It never changes once submitted."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

PRECISIONS = ("auto", "float32", "bfloat16", "float16")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_FOLDER_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}")
_NUMBER = re.compile(r"(?i:nan|inf|infinity|true|false|none|null|[\d_.]+(?:e\d+)?)")
_REVISION = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_GGUF = re.compile(r"[A-Za-z0-9][\w.-]{0,150}\.gguf")
_SUITE = re.compile(r"[a-z0-9][a-z0-9_-]{0,40}@[0-9a-f]{8}")


class BadRequest(ValueError):
    """What is wrong with it, in a few words."""


@dataclass(frozen=True)
class Request:
    """Checked when it is made, whoever wrote the file it comes from.

    Raises:
        BadRequest: for a field that is not what it must be.
    """

    model: str
    """A Hub id ``owner/name``, or the name of a local folder (then ``folder`` says where)."""
    revision: str
    """The commit, 40 hexadecimal digits; for a folder the SHA-256 of its content."""
    suite: str
    """``name@digest``: a suite whose tasks have changed is another one."""
    precision: str = "auto"
    """One of ``PRECISIONS``."""
    chat_template: bool = False
    """Whether prompts are wrapped in the tokenizer's chat template."""
    gguf_file: str = ""
    """The file that is loaded, in a repository of GGUF files; else empty."""
    folder: str = ""
    """Of a local model, the absolute path. No part of the key."""

    def __post_init__(self) -> None:
        pattern = _FOLDER_NAME if self.folder else _HUB_ID
        if not _text(self.model, pattern) or ".." in self.model or "--" in self.model:
            raise BadRequest(f"{self.model!r:.120} is no model id")
        if self.folder and _NUMBER.fullmatch(self.model):
            raise BadRequest(f"{self.model} would be read as a number by lm_eval; give the folder another name")
        if not _text(self.revision, _REVISION):
            raise BadRequest(f"{self.revision!r:.80} is no commit")
        if not _text(self.suite, _SUITE):
            raise BadRequest(f"{self.suite!r:.80} is no suite")
        if self.precision not in PRECISIONS:
            raise BadRequest(f"{self.precision!r:.80} is no precision; there are {', '.join(PRECISIONS)}")
        if self.gguf_file and not _text(self.gguf_file, _GGUF):
            raise BadRequest(f"{self.gguf_file!r:.120} is no GGUF file")
        if not isinstance(self.chat_template, bool) or not isinstance(self.folder, str):
            raise BadRequest("chat_template or folder has another type")

    @property
    def key(self) -> str:
        """32 hexadecimal digits of a SHA-256: its name, so that the same request twice is seen by its name."""
        identity = [self.model, self.revision, self.gguf_file, self.precision, self.chat_template, self.suite]
        return sha256(json.dumps(identity).encode()).hexdigest()[:32]

    def to_json(self) -> dict[str, Any]:
        """What ``from_json`` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: object) -> Request:
        """A request out of a file that may be anyone's.

        Raises:
            BadRequest: where it is none.
        """
        if not isinstance(found, dict):
            raise BadRequest("not a request")
        known = {key: found[key] for key in cls.__dataclass_fields__ if key in found}
        try:
            return cls(**known)
        except TypeError as error:
            raise BadRequest("not a request: fields are missing") from error


def _text(value: object, pattern: re.Pattern[str]) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None
