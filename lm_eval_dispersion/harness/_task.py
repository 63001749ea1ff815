"""``class: !function lm_eval_dispersion.DispersionTask``: any lm_eval task, with dispersion recorded."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from inspect import signature
from typing import Any, TypeVar

from lm_eval.api.task import ConfigurableTask, Task

from lm_eval_dispersion import __version__
from lm_eval_dispersion._definition import Definition
from lm_eval_dispersion._errors import TaskError, one_line
from lm_eval_dispersion.harness._answers import answer_signals
from lm_eval_dispersion.harness._marks import Marks
from lm_eval_dispersion.harness._metric import Guarded, Metric
from lm_eval_dispersion.harness._options import Options
from lm_eval_dispersion.harness._requests import KINDS, PREFIX
from lm_eval_dispersion.harness._secrets import redacted, warn_of_secrets
from lm_eval_dispersion.harness._wrap import stock_task
from lm_eval_dispersion.record import (
    Recording,
    Summary,
    mean_by_layer,
    number,
    record,
    signals_of_document,
    signals_of_task,
    signals_of_window,
)
from lm_eval_dispersion.seams import task_class

logger = logging.getLogger(__name__)

_Found = TypeVar("_Found")

_CORPUS = "loglikelihood_rolling"
_CHOICES = "multiple_choice"
_METRICS = ("dispersion", "dispersion_across")
_CORPUS_METRICS = (*_METRICS, "dispersion_pearson", "dispersion_spearman")


class DispersionTask:
    """Makes the task a YAML of ours asks for: ``wraps:`` another one, or a corpus described by itself.

    The result is an instance of the wrapped task's own class with recording mixed in, so prompts, few-shot,
    filters, metrics and version are lm_eval's. A task whose output type is ``loglikelihood_rolling`` records
    D of its text's windows, any other one D of its prompts.
    """

    def __new__(cls, config: dict[str, Any]) -> Any:
        """Called by lm_eval's task factory with the resolved YAML.

        Raises:
            TaskError: for a mistake in the YAML or its options, in one line.
        """
        base, stock_config = stock_task(config)
        metadata = stock_config.get("metadata") or {}
        warn_of_secrets(metadata)
        recording_class: Any = type(f"Dispersion{base.__name__}", (_Records, base), {})
        return recording_class(config=stock_config)

    def __init__(self, config: dict[str, Any]) -> None:
        """Never runs, for ``__new__`` returns another class; its signature tells lm_eval to hand over ``config``."""


class _Records(Task):
    """Mixed in before a stock task class; changes its requests' types and adds to its results."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._name: str = config["task"]
        self._dataset = config.get("dataset_path") or (config.get("dataset_kwargs") or {}).get("repository")
        metadata = dict(config.get("metadata") or {})
        self._base_task: str | None = metadata.pop("wraps", None)
        self._options = Options(config)
        self.definition = Definition.of(self._options.values)
        if config.get("custom_dataset"):
            # lm_eval calls it with both, and the metadata holds every model argument, `revision` for one.
            metadata = {k: v for k, v in metadata.items() if k not in (config.get("dataset_kwargs") or {})}
        self._recording = Recording()
        self._marks = Marks()
        self._summary: Summary | None = None
        self._received = False
        self._document = -1
        # (document, digest of a context): whose D is taken or on its way
        self.seen_contexts: set[tuple[int, bytes]] = set()
        # Aggregations of lm_eval's that failed, and why.
        self._failed: dict[str, str] = {}
        # By document, since a task with several filters is asked once a filter; and the samples of all processes.
        self._answers: dict[int, dict[str, float | None]] = {}
        self._samples: Sequence[dict[str, Any]] = ()
        self._scored = False
        # Few lm_eval tasks are written in Python, and some of those take no configuration.
        takes_config = "config" in signature(super().__init__).parameters
        super().__init__(**({"config": {**config, "metadata": metadata}} if takes_config else {}))
        self._stock_output_type: str = self.OUTPUT_TYPE

    def download(self, *args: Any, **kwargs: Any) -> None:
        """As lm_eval's, but an unreachable or empty dataset is said in one line."""
        from datasets.exceptions import DatasetsError
        from huggingface_hub.errors import HfHubHTTPError

        try:
            super().download(*args, **kwargs)
        except (ConnectionError, FileNotFoundError, ValueError, DatasetsError, HfHubHTTPError) as error:
            if isinstance(error, ValueError) and "cache" not in str(error):
                raise  # offline, `datasets` reports a missing configuration with a bare ValueError
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise TaskError(
                f"{self._name}: cannot load its dataset {self._dataset or self.DATASET_PATH} ({reason}); run it "
                "once where the Hugging Face hub is reached and set HF_HOME to that cache, or use dispersion_text "
                "on a file of your own"
            ) from None
        if isinstance(self, ConfigurableTask):
            split = self.config.test_split or self.config.validation_split
            if split in self.dataset and not len(self.dataset[split]):
                raise TaskError(f"{self._name}: its dataset holds no document")

    @property
    def _records_prompts(self) -> bool:
        return bool(self._stock_output_type != _CORPUS)

    @property
    def _metrics(self) -> tuple[str, ...]:
        return _METRICS if self._records_prompts else _CORPUS_METRICS

    def build_all_requests(self, **kwargs: Any) -> None:
        """As lm_eval's; then each request asks for the type of ours that records."""
        self._options.refuse_what_no_task_takes()
        # A task object may be evaluated more than once.
        self._recording, self._summary, self._received = Recording(), None, False
        self._marks = Marks()
        self.seen_contexts.clear()
        self._failed.clear()
        self._answers.clear()
        self._samples = ()
        self.OUTPUT_TYPE = self._stock_output_type
        if kwargs.get("cache_requests") and not self._records_prompts:
            # lm_eval names its file of requests by the task alone; a corpus has a text, a field, a sample and a seed.
            logger.warning("%s: --cache_requests is ignored, for it may hold another text's requests", self._name)
            kwargs["cache_requests"] = False
        super().build_all_requests(**kwargs)
        requests = task_class.requests_of(self)
        self._scored = any(instance.request_type == "loglikelihood" for instance in requests)
        for instance in requests:
            if instance.request_type not in KINDS:
                raise TaskError(f"{self._name}: requests of type {instance.request_type} carry no prompt to measure")
            instance.request_type = PREFIX + instance.request_type
            instance.dispersion_task = self
        # The evaluator evens out data-parallel processes by this name, right after it built the requests.
        self.OUTPUT_TYPE = requests[0].request_type

    def receive(self, recording: Recording) -> None:
        """Called by our request types with what was measured on this task's requests."""
        if self._received:
            self._recording.merge(recording)
        else:  # the sums may be large: no copy of them
            self._recording = recording
        self._summary, self._received = None, True

    @property
    def undefined(self) -> str | None:
        """Why the task has no D, where it has none."""
        return self._recording.why_undefined(self._records_prompts)

    def gather(self, name: str, logged: Sequence[Any]) -> None:
        """Called with the logged values of one of our metrics, of the documents of all processes."""
        if name == "dispersion":
            self._samples = logged

    def headline(self, name: str) -> tuple[float | None, float | None]:
        """(value, standard error) of one of our metrics; None where undefined."""
        return self._guarded(lambda summary: summary.last_layer(name))

    def _guarded(self, ask: Callable[[Summary], _Found]) -> _Found:
        """An answer of the summary of all that was received; where that cannot be made, of none, with the reason."""
        try:
            if self._summary is None:
                self._summary = Summary(self._recording, self._records_prompts)
            return ask(self._summary)
        except Exception as error:  # the run is over, and its stock numbers are worth more than ours
            logger.debug("the cause", exc_info=True)
            self._recording = self._recording.emptied(one_line(error))
            self._summary = Summary(self._recording, self._records_prompts)
            return ask(self._summary)

    def doc_iterator(self, **kwargs: Any) -> Iterator[tuple[int, Any]]:
        """As lm_eval's; remembers which document ``process_results`` is about to be called for."""
        for document, doc in super().doc_iterator(**kwargs):
            self._document = document
            yield document, doc

    def process_results(self, doc: Any, results: Any) -> dict[str, Any]:
        """lm_eval's metrics of a document and, for the log of samples, what was measured on it."""
        self.OUTPUT_TYPE = self._stock_output_type
        metrics = super().process_results(doc, results)
        if self._records_prompts:
            self._marks.note(self, self._document, doc, metrics)
        return metrics | self._logged(self._answer(doc, results)) if self._adds_metrics else metrics

    def _answer(self, doc: Any, results: Any) -> dict[str, float | None]:
        if self._stock_output_type != _CHOICES:
            return {}
        if self._document not in self._answers:
            self._answers[self._document] = answer_signals(self, doc, results)
        return self._answers[self._document]

    @property
    def _adds_metrics(self) -> bool:
        return not task_class.asks_for("bypass", self)  # lm_eval's --predict_only

    def _logged(self, answer: dict[str, float | None]) -> dict[str, Any]:
        prompts = self._records_prompts
        segments = self._recording.segments.get(self._document, [])
        values = self._recording.document(self._document, prompts)
        layers = [number(v) for v in mean_by_layer(values)] if len(values) else []
        signals = signals_of_document(self._recording, self._document, prompts, self._scored)
        sample: dict[str, Any] = {
            "within": layers[-1] if layers else None,
            "layers": layers,
            "signals": answer | signals,
        }
        if not prompts:
            sample |= {
                "loglikelihood": sum(s.loglikelihood or 0.0 for s in segments),
                "tokens": sum(s.tokens or 0 for s in segments),
                "windows": [
                    {
                        "loglikelihood": s.loglikelihood,
                        "tokens": s.tokens,
                        "vectors": s.vectors,
                        "layers": None if s.dispersion is None else [number(v) for v in s.dispersion],
                        "signals": signals_of_window(self._recording, s),
                    }
                    for s in segments
                ],
            }
        else:
            sample |= {
                "tokens": sum(s.vectors for s in segments),
                "truncated": any(s.truncated for s in segments),
            }
        # The other metrics are of the whole task; their logged value is how many segments this document adds.
        return {name: sample if name == "dispersion" else len(values) for name in self._metrics}

    def aggregation(self) -> dict[str, Any]:
        """lm_eval's and ours."""
        stock = {name: Guarded(function, self._note) for name, function in super().aggregation().items()}
        return stock | ({name: Metric(self, name) for name in self._metrics} if self._adds_metrics else {})

    def _note(self, function: str, reason: str) -> None:
        self._failed[function] = reason

    def _signals(self, summary: Summary) -> dict[str, Any]:
        choices = self._stock_output_type == _CHOICES and self._adds_metrics
        answers = [sample["signals"] for sample in self._samples] if choices else None
        return signals_of_task(summary.recording, self._records_prompts, self._scored, answers)

    def dump_config(self) -> dict[str, Any]:
        """As lm_eval's, with the record in its metadata and without secrets."""
        config: dict[str, Any] = super().dump_config()
        metadata = redacted(config.get("metadata") or {})
        metadata.pop("dispersion", None)
        if self._received:
            metadata["dispersion"] = self._guarded(
                lambda summary: record(
                    summary,
                    task=self._name,
                    base_task=self._base_task,
                    options=self._options.values,
                    failed=self._failed,
                    signals=self._signals(summary),
                    plugin_version=__version__,
                    slices=self._marks.slices(self, summary.recording) if self._records_prompts else None,
                )
            )
        return config | {"metadata": metadata}


def records(task: Any) -> bool:
    """Whether a task is one of ours."""
    return isinstance(task, _Records)
