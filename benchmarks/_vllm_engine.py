"""``python -m benchmarks._vllm_engine last|all WINDOWS``: lm_eval's vLLM engine, which shows its last state or all."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from benchmarks import _workload
from benchmarks._sample import Job, Prepare, serve

if TYPE_CHECKING:
    from lm_eval.models.vllm_causallms import VLLM

_ALL = "lm_eval_dispersion.capture.all_layers.AllLayers"


def _engine(shows: bool) -> VLLM:
    from lm_eval.models.vllm_causallms import VLLM

    more = {"worker_extension_cls": _ALL} if shows else {}
    limit = _workload.WINDOW + 2  # a window, its last token, and one that is generated beside it
    return VLLM(
        pretrained=str(_workload.model_folder()), dtype="float32", max_model_len=limit, batch_size="auto", **more
    )


def _variant(lm: VLLM, texts: list[str], record: bool) -> Prepare:
    def prepare() -> Job:
        task: Any = _workload.rolling(texts, record)
        run = lm.dispersion_loglikelihood_rolling if record else lm.loglikelihood_rolling
        answers: list[float] = []
        return Job(lambda: answers.extend(run(task.instances)), lambda: {"loglikelihoods": answers})

    return prepare


def main(shows: bool, windows: int) -> None:
    """Serves samples; ``record`` names the one that records."""
    # The engine's processes write to standard output, where the answers are to go.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    os.environ |= {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}
    texts, lm = _workload.windows(windows), _engine(shows)
    sys.stdout = answers
    serve(_variant(lm, texts, record=False), record=_variant(lm, texts, record=True))


if __name__ == "__main__":
    main(sys.argv[1] == "all", int(sys.argv[2]))
