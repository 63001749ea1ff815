"""Why a run has failed: runs of the real lm_eval on models that cannot be run, and messages of others."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import queue_forks
from dispersion_leaderboard.admission import inspect_folder
from dispersion_leaderboard.requests import Reason, Request
from dispersion_leaderboard.running import Engine, Limits, Outcome, Unit, _child
from dispersion_leaderboard.running._child import Ended
from dispersion_leaderboard.running._run import evaluate
from dispersion_leaderboard.running._why import why
from hostile import HOSTILE_TEMPLATES

CPU = Engine(device="cpu")
# Each range is as long as the sandbox lets it be.
ENDLESS = "{% for i in range(99999) %}" * 3 + "{% endfor %}" * 3
_HUB = "https://huggingface.co/org/x"


def cut(model: Path) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(b"\xff" * 8 + weights.read_bytes()[8:])


def reshape(model: Path) -> None:
    change(model / "config.json", intermediate_size=96)


def fill_with_nan(model: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = model / "model.safetensors"
    save_file({name: one * float("nan") for name, one in load_file(weights).items()}, weights, {"format": "pt"})


def drop_a_tensor(model: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = model / "model.safetensors"
    held = load_file(weights)
    del held["model.layers.1.mlp.down_proj.weight"]
    save_file(held, weights, {"format": "pt"})


def template(text: str) -> Callable[[Path], None]:
    return lambda model: (model / "chat_template.jinja").write_text(text) and None


def change(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def unit(model: Path, chat: bool, **limits: float) -> Unit:
    found = inspect_folder(model, largest=10**9)
    request = Request(model.name, found.sha, "made@01234567", folder=str(model), chat_template=chat)
    return Unit(request, ("dispersion_demo_mmlu",), 1, engine=CPU, limits=replace(Limits(seconds=400), **limits))


@pytest.fixture(scope="module")
def marker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("marked") / "marker"


class Clock:
    """Stands until lm_eval has begun to write prompts, however slow the machine is."""

    def __init__(self) -> None:
        self._outputs: list[Any] = []
        self._read = _child._Output
        self._begun: float | None = None

    def output(self, child: Any) -> Any:
        self._outputs.append(self._read(child))
        return self._outputs[-1]

    def monotonic(self) -> float:
        if self._begun is None and any(b"Building contexts" in one._head for one in self._outputs):
            self._begun = time.monotonic()
        return 0.0 if self._begun is None else time.monotonic() - self._begun


@pytest.fixture(scope="module")
def outcomes(tiny_llama: Path, marker: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Outcome]:
    """Those with a limit in processes of their own, the others in forks: most of it is importing."""
    folder = tmp_path_factory.mktemp("failing")
    spoilt: dict[str, Callable[[Path], None]] = {
        "corrupt": cut,
        "reshaped": reshape,
        "nan": fill_with_nan,
        "lacking": drop_a_tensor,
        "loop": template(ENDLESS),
        "large": lambda model: None,
    }
    spoilt |= {name: template(text.replace("MARKER", str(marker))) for name, text in HOSTILE_TEMPLATES.items()}
    limits = {"loop": {"seconds": 4}, "large": {"memory": 100 * 2**20}}

    def run(name: str) -> Outcome:
        # Not the bare word: lm_eval takes `nan` for a number.
        model = folder / f"model-{name}"
        shutil.copytree(tiny_llama, model)
        spoilt[name](model)
        found = unit(model, (model / "chat_template.jinja").exists(), **limits.get(name, {}))
        outcome = evaluate(found, folder / f"scratch-{name}", threading.Event())
        assert not list((folder / f"scratch-{name}").rglob("*.part"))
        return outcome

    found = {"large": run("large")}
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock()
        patch.setattr(_child, "_Output", clock.output)
        patch.setattr(_child, "time", clock)
        found["loop"] = run("loop")
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setattr(_child, "run", queue_forks.run)
        others = [name for name in spoilt if name not in found]
        found |= zip(others, pool.map(run, others), strict=True)
    assert not [one for one in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(one.info["cmdline"] or ())]
    return found


@pytest.mark.parametrize(
    ("name", "reason", "says"),
    [
        ("corrupt", Reason.LOAD, "SafetensorError"),
        ("lacking", Reason.LOAD, "down_proj.weight is not among the weights"),
        ("reshaped", Reason.LOAD, ""),
        ("nan", Reason.NAN, "no finite hidden states in dispersion_demo_mmlu"),
        ("large", Reason.OOM, "took more memory than it may"),
        ("loop", Reason.TIMEOUT, "took longer than it may"),
        ("escape", Reason.CHAT_TEMPLATE, "SecurityError"),
        ("import", Reason.CHAT_TEMPLATE, "SecurityError"),
        ("endless", Reason.CHAT_TEMPLATE, "Range too big"),
    ],
)
def test_a_model_that_cannot_be_run_is_told_why(
    outcomes: Mapping[str, Outcome], name: str, reason: Reason, says: str
) -> None:
    outcome = outcomes[name]
    assert outcome.reason is reason, outcome.log
    assert says in outcome.detail
    assert "\n" not in outcome.detail
    assert outcome.files == {}


def test_a_chat_template_runs_nothing(outcomes: Mapping[str, Outcome], marker: Path) -> None:
    assert outcomes["import"].log
    assert not marker.exists()


def written(dispersion: float | None = 0.5, nonfinite: int = 0, task: str = "dispersion_demo_mmlu", **more: Any) -> str:
    metadata = {"dispersion": {"counts": {"nonfinite_vectors": nonfinite}}}
    metrics = {"acc,none": 0.0, "dispersion,none": dispersion, "dispersion_stderr,none": float("nan")} | more
    return json.dumps({"results": {task: metrics}, "configs": {task: {"metadata": metadata}}})


@pytest.mark.parametrize(
    ("files", "reason", "says"),
    [
        ([written()], None, ""),
        ([written(None)], None, ""),
        ([written(None, nonfinite=77)], Reason.NAN, "no finite hidden states"),
        ([written(float("nan"))], Reason.NAN, "dispersion of dispersion_demo_mmlu is nan"),
        ([written(**{"word_perplexity,none": float("inf")})], Reason.NAN, "word_perplexity of"),
        ([written(task="other")], Reason.EVALUATION, "no results of dispersion_demo_mmlu"),
        ([], Reason.EVALUATION, "wrote 0 results files"),
        ([written(), written()], Reason.EVALUATION, "wrote 2 results files"),
    ],
)
def test_a_run_that_ended_well_is_finished_only_with_whole_results(
    tiny_llama: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: list[str],
    reason: Reason | None,
    says: str,
) -> None:
    def run(*_: object, folder: Path, **__: object) -> Ended:
        for number, file in enumerate(files):
            (folder / f"results_{number}.json").write_text(file)
        return Ended(0, "itself", "")

    monkeypatch.setattr(_child, "run", run)
    outcome = evaluate(unit(tiny_llama, False), tmp_path, threading.Event())
    assert outcome.reason is reason
    assert says in outcome.detail
    assert bool(outcome.files) is (reason is None)


def test_a_model_of_an_unknown_type_is_refused_before_anything_runs(tiny_llama: Path, tmp_path: Path) -> None:
    model = tmp_path / "unknown"
    shutil.copytree(tiny_llama, model)
    change(model / "config.json", model_type="neverheard", architectures=["NeverheardForCausalLM"])
    request = Request(model.name, "0" * 64, "made@01234567", folder=str(model))
    outcome = evaluate(Unit(request, ("dispersion_demo_mmlu",)), tmp_path / "scratch", threading.Event())
    assert outcome.reason in (Reason.REMOTE_CODE, Reason.NOT_CAUSAL_LM)
    assert "neverheard" in outcome.detail
    assert not (tmp_path / "scratch" / "runs").exists()


def test_a_fault_of_the_worker_itself_is_told_and_raises_nothing(tiny_llama: Path, tmp_path: Path) -> None:
    found = replace(unit(tiny_llama, False), engine=Engine(model_args="trust_remote_code=True"))
    outcome = evaluate(found, tmp_path, threading.Event())
    assert outcome.reason is Reason.INFRASTRUCTURE
    assert "never trusted" in outcome.detail


def traceback(error: str) -> str:
    return f'Traceback (most recent call last):\n  File "/opt/lib/x.py", line 3, in f\n    g()\n{error}\n'


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has 79 GiB", Reason.OOM),
        ("torch.AcceleratorError: CUDA error: out of memory", Reason.OOM),
        ("RuntimeError: [enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory", Reason.OOM),
        ("MemoryError", Reason.OOM),
        (
            "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when"
            " initializing the engine.",
            Reason.OOM,
        ),
        (
            "ValueError: Free memory on device cuda:0 (1.2/79.1 GiB) on startup is less than desired GPU memory"
            " utilization (0.9, 71.2 GiB).",
            Reason.OOM,
        ),
        (
            f"huggingface_hub.errors.GatedRepoError: 403 Client Error.\n\nCannot access gated repo for url {_HUB}.",
            Reason.GATED,
        ),
        (f"OSError: You are trying to access a gated repo.\nMake sure to have access to it at {_HUB}.", Reason.GATED),
        (
            f"ValueError: The repository {_HUB} contains custom code which must be executed to correctly load the"
            " model.\nPlease pass the argument `trust_remote_code=True` to allow custom code to be run.",
            Reason.REMOTE_CODE,
        ),
        (
            f"huggingface_hub.errors.HfHubHTTPError: Server error '503 Service Unavailable' for url '{_HUB}'\nFor more"
            " information check: https://developer.mozilla.org/en-US/docs/Web/HTTP/Status/503",
            Reason.INFRASTRUCTURE,
        ),
        (f"requests.exceptions.HTTPError: 503 Server Error: Busy for url: {_HUB}", Reason.INFRASTRUCTURE),
        (
            f"huggingface_hub.errors.HfHubHTTPError: 429 Too Many Requests for url: {_HUB}.",
            Reason.INFRASTRUCTURE,
        ),
        ("OSError: [Errno 28] No space left on device", Reason.INFRASTRUCTURE),
        (
            "safetensors_rust.SafetensorError: Error while serializing: I/O error: No space left on device",
            Reason.INFRASTRUCTURE,
        ),
        ("httpx2.ConnectError: [Errno -3] Temporary failure in name resolution", Reason.INFRASTRUCTURE),
        ("RuntimeError: No CUDA GPUs are available", Reason.INFRASTRUCTURE),
        ("safetensors_rust.SafetensorError: Error while deserializing header: header too large", Reason.LOAD),
        ("OSError: Can't load tokenizer for 'org/x'. If you were trying to load it from the Hub, ...", Reason.LOAD),
        ("ValueError: Couldn't instantiate the backend tokenizer from one of:\n(1) a `tokenizers` file", Reason.LOAD),
        ("Exception: data did not match any variant of untagged enum ModelWrapper at line 1 column 9", Reason.LOAD),
        ("ValueError: Unrecognized model in org/x. Should have a `model_type` key in its config.json.", Reason.LOAD),
        (
            "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig\n"
            "  Value error, Model architectures ['Foo'] are not supported for now. Supported architectures: [...]",
            Reason.LOAD,
        ),
        (
            "RuntimeError: Error(s) in loading state_dict for LlamaForCausalLM:\n\tsize mismatch for lm_head.weight",
            Reason.LOAD,
        ),
        (
            "jinja2.exceptions.TemplateError: Conversation roles must alternate user/assistant/user/assistant/...",
            Reason.CHAT_TEMPLATE,
        ),
        (
            "jinja2.exceptions.TemplateRuntimeError: No filter named 'evil' found.",
            Reason.CHAT_TEMPLATE,
        ),
        (
            "ValueError: Cannot use chat template functions because tokenizer.chat_template is not set and no"
            " template argument was passed!",
            Reason.CHAT_TEMPLATE,
        ),
        ("KeyError: 'gold'", Reason.EVALUATION),
    ],
)
def test_the_last_error_decides(error: str, reason: Reason) -> None:
    found, detail = why(Ended(1, "itself", "loading\n" + traceback(error) + "Running: 3%\rRunning: 4%\n"))
    assert found is reason
    assert detail.startswith(error.split(":")[0].split("\n")[0])


def test_a_line_without_a_traceback_decides_too() -> None:
    said = "dispersion_wiki: cannot load its dataset wikimedia/wikipedia (offline); run it once\n"
    assert why(Ended(1, "itself", "loading\n" + said))[0] is Reason.INFRASTRUCTURE


def test_what_was_printed_before_the_last_error_does_not_decide() -> None:
    data = "A user asks:\nRuntimeError: CUDA out of memory. What to do? trust_remote_code 503 Server Error\n"
    assert why(Ended(1, "itself", data + traceback("KeyError: 'gold'"))) == (Reason.EVALUATION, "KeyError: 'gold'")


def test_the_cause_that_vllm_tells_of_in_another_process_decides() -> None:
    cause = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
    worker = "(Worker_TP0 pid=4712) ERROR 11-25 21:00:00 [multiproc_executor.py:900] "
    told = "".join(f"{worker}{line}\n" for line in f"WorkerProc failed to start.\n{traceback(cause)}".splitlines())
    told += traceback(
        "Exception: WorkerProc initialization failed due to an exception in a background process. See stack trace for"
        " root cause."
    )
    far = "".join(f'  File "/opt/lib/x{number}.py", line 3, in f\n    g()\n' for number in range(40))
    above = "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"
    assert why(Ended(1, "itself", told + far + above)) == (Reason.OOM, cause)


@pytest.mark.parametrize(
    ("ended", "reason"),
    [
        (Ended(137, "itself", ""), Reason.OOM),
        (Ended(143, "itself", ""), Reason.INFRASTRUCTURE),
        (Ended(143, "timeout", "MemoryError\n"), Reason.TIMEOUT),
        (Ended(143, "memory", ""), Reason.OOM),
        (Ended(143, "disk", ""), Reason.INFRASTRUCTURE),
        (Ended(143, "stopped", "MemoryError\n"), Reason.INFRASTRUCTURE),
        (Ended(139, "itself", ""), Reason.EVALUATION),
    ],
)
def test_how_a_run_was_ended_decides_before_what_it_said(ended: Ended, reason: Reason) -> None:
    found, detail = why(ended)
    assert found is reason
    assert detail


def test_one_line_is_shown_without_places_and_credentials() -> None:
    said = traceback("OSError: Can't load tokenizer for '/home/anna/models/x' with hf_abcdefghijklmnopqrstuv")
    assert why(Ended(1, "itself", said))[1] == "OSError: Can't load tokenizer for 'x' with [redacted]"
