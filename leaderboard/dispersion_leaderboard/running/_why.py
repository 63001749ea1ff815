"""Why a run failed: from how it ended and the last thing it said."""

from __future__ import annotations

import re

from dispersion_leaderboard.requests import Reason
from dispersion_leaderboard.running._child import Ended
from dispersion_leaderboard.running._scrub import scrubbed

_RULES: tuple[tuple[Reason, str], ...] = (
    (
        Reason.OOM,
        r"MemoryError|OutOfMemoryError|out of memory|can't allocate memory|Cannot allocate memory"
        r"|No available memory for the cache blocks|Free memory on device .* is less than",
    ),
    (Reason.GATED, r"GatedRepoError|gated repo|Access to model .* is restricted|\b40[13] Client Error"),
    (
        Reason.REMOTE_CODE,
        r"trust_remote_code|contains custom code|requires you to execute the",
    ),
    (
        Reason.CHAT_TEMPLATE,
        r"SecurityError|UndefinedError|Template\w*Error|chat_template is not set|chat template"
        r"|The sandbox blocks ranges",
    ),
    (
        Reason.INFRASTRUCTURE,
        r"ConnectionError|ConnectTimeout|ReadTimeout|RemoteProtocolError|Max retries exceeded|Name or service not known"
        r"|Temporary failure in name resolution|LocalEntryNotFoundError|OfflineModeIsEnabled|Network is unreachable"
        r"|\b(?:429|500|502|503|504) (?:Client|Server) Error|Server error '5\d\d|429 Too Many Requests"
        r"|cannot load its dataset|couldn't connect to"
        r"|No space left on device|Disk quota exceeded|No CUDA GPUs are available|CUDA driver|NVIDIA driver"
        r"|CUDA error: (?:unknown|uncorrectable)|Cannot re-initialize CUDA",
    ),
    (
        Reason.LOAD,
        r"SafetensorError|HeaderTooLarge|HeaderTooSmall|MetadataIncompleteBuffer|InvalidHeader"
        r"|does not appear to have a file named|no file named|Unrecognized (?:model|configuration)"
        r"|does not recognize this architecture|model type `|size mismatch|ignore_mismatched_sizes"
        r"|Error\(s\) in loading"
        r"|Can't load (?:tokenizer|the configuration|feature)|Couldn't instantiate the backend tokenizer|untagged enum"
        r"|not (?:a )?supported (?:for now|architecture)"
        r"|Model architectures .* (?:not supported|failed)|gives no hidden states"
        r"|GGUF model with architecture|is not a valid (?:model identifier|JSON)|Unable to load (?:weights|vocabulary)",
    ),
)
_WORDS = {
    "timeout": (Reason.TIMEOUT, "took longer than it may"),
    "memory": (Reason.OOM, "took more memory than it may"),
    "disk": (Reason.INFRASTRUCTURE, "the disk is full, or more was written than may be"),
    "stopped": (Reason.INFRASTRUCTURE, "was stopped"),
}
_OF_VLLM = re.compile(r"^\(\w+ pid=\d+\) (?:[A-Z]+ [\d-]+ [\d:]+ \[[^\]]*\] )?")
"""What stands before each line that its processes log."""
_ELSEWHERE = "root cause"
"""In the message of vLLM's own error; what another process has said stands before it."""
_ERROR = re.compile(r"^(?:[\w.]+\.)?(\w*(?:Error|Exception|Exit|Interrupt|Missing|NotFound|Killed))(?::|$)")


def why(ended: Ended) -> tuple[Reason, str]:
    """The reason, and one line about it that may be shown to anyone.

    Only the last error counts, with the lines of its message: what stands before it may be a text of a dataset.
    """
    if ended.by in _WORDS:
        reason, words = _WORDS[ended.by]
        return reason, words
    said = _last_error(ended.output)
    detail = scrubbed(said, 1, 300) if "\n" not in said else scrubbed(said.splitlines()[0], 1, 300)
    if ended.code == 137:
        return Reason.OOM, "was killed by the system, which as a rule is short of memory then"
    if ended.code == 143:
        return Reason.INFRASTRUCTURE, "was asked to end by somebody else"
    for reason, pattern in _RULES:
        if re.search(pattern, said):
            return reason, detail
    return Reason.EVALUATION, detail or f"lm_eval ended with status {ended.code}"


def _last_error(output: str) -> str:
    """The last line that begins with an error's name, and what follows it; else the last lines."""
    told = [_OF_VLLM.sub("", line) for line in scrubbed(output, 200, 60_000).splitlines()]
    for place in range(len(told) - 1, -1, -1):
        if _ERROR.match(told[place]) and _ELSEWHERE not in told[place]:
            return "\n".join(told[place : place + 12])
    return "\n".join(told[-3:][::-1])
