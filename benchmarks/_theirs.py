"""The package ``embedding-condensation`` on our windows, called as its README says; runs in its own environment."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from benchmarks._sample import Job, measure, serve
from benchmarks._workload import WINDOW, windows


def main(folder: Path, texts: list[str]) -> None:
    """Serves samples."""
    import nltk

    nltk.download = lambda *_, **__: False  # importing the package would fetch a tokenizer we do not need
    from embedding_condensation import measure_embedding_condensation
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    model = AutoModelForCausalLM.from_pretrained(folder, torch_dtype="float32")
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))

    def prepare_for(texts: list[str]) -> Job:
        results: list[Any] = []

        def work() -> None:
            results.append(
                measure_embedding_condensation(
                    model,
                    tokenizer,
                    texts=texts,
                    repetitions=len(texts),
                    max_length=WINDOW,
                    plot=False,
                    save_path=None,
                    show_progress=False,
                )
            )

        def report() -> dict[str, Any]:
            cosines = results[0].cossim_by_layer
            n = cosines.shape[-1]
            within = [1 - (float(layer.sum()) - float(layer.trace())) / (n * (n - 1)) for layer in cosines]
            return {"within": within}

        return Job(work, report)

    measure(lambda: prepare_for(texts[:1]))
    serve(lambda: prepare_for(texts))


if __name__ == "__main__":
    main(Path(sys.argv[1]), windows(int(sys.argv[2])))
