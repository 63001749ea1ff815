"""vLLM's plugins, workers and model runners (``capture/_vllm*``, ``capture/all_layers``)."""

from __future__ import annotations

import os
from typing import Any

from lm_eval_dispersion.seams._look import Moved, accepts, declares, has, uses

_GROUP, _PLUGIN = "vllm.general_plugins", "lm_eval_dispersion"


def plugin() -> None:
    """Each of vLLM's processes calls our entry point."""
    from importlib.metadata import entry_points

    from vllm import plugins

    if plugins.DEFAULT_PLUGINS_GROUP != _GROUP:
        raise Moved(f"its plugins are of the group {plugins.DEFAULT_PLUGINS_GROUP}")
    ours = [point for point in entry_points(group=_GROUP) if point.name == _PLUGIN]
    if not ours:
        raise Moved(f"no entry point {_PLUGIN} in {_GROUP}; install lm-eval-dispersion again")
    if not callable(ours[0].load()):
        raise Moved(f"its entry point {ours[0].value} cannot be called")
    allowed = os.environ.get("VLLM_PLUGINS")
    if allowed is not None and _PLUGIN not in allowed.split(","):
        raise Moved(f"VLLM_PLUGINS is set to {allowed!r} and does not name {_PLUGIN}")


def workers() -> None:
    """Have methods of ours, which lm_eval's process calls."""
    from vllm import LLM
    from vllm.distributed import get_tensor_model_parallel_rank
    from vllm.v1.worker.worker_base import WorkerBase

    accepts(LLM.collective_rpc, 2, "args")
    uses(LLM.__init__, "llm_engine")
    accepts(get_tensor_model_parallel_rank, 0)
    uses(WorkerBase.__init__, "vllm_config")


def scheduler_output() -> None:
    """Says whose tokens a step has."""
    from vllm.v1.core.sched.output import CachedRequestData, NewRequestData, SchedulerOutput

    new = ("scheduled_new_reqs", "scheduled_cached_reqs", "num_scheduled_tokens", "finished_req_ids")
    declares(SchedulerOutput, *new)
    declares(NewRequestData, "req_id", "prompt_token_ids", "num_computed_tokens")
    declares(CachedRequestData, "req_ids", "num_computed_tokens")


def model_runner() -> None:
    """Its two methods are listened to; a step's hidden states lie between them (V1)."""
    from vllm.v1.worker import gpu_model_runner
    from vllm.v1.worker.gpu_input_batch import InputBatch

    _runner(gpu_model_runner)
    uses(gpu_model_runner.GPUModelRunner.__init__, "query_start_loc", "input_batch")
    uses(InputBatch.__init__, "req_id_to_index")


def model_runner_v2() -> None:
    """The same of the runner that vLLM takes on CUDA."""
    from vllm.v1.worker.gpu import model_runner
    from vllm.v1.worker.gpu.input_batch import InputBatch

    _runner(model_runner)
    declares(model_runner.ExecuteModelState, "input_batch")
    declares(InputBatch, "req_ids", "query_start_loc_np")


def all_layers() -> None:
    """Every hidden state, as auxiliary outputs of the compiled graph."""
    from vllm.config import ModelConfig, ParallelConfig
    from vllm.model_executor.models.interfaces import SupportsEagle3, supports_eagle3
    from vllm.platforms import current_platform

    has(ModelConfig, "get_total_num_hidden_layers")
    has(SupportsEagle3, "set_aux_hidden_state_layers")
    accepts(supports_eagle3, 1)
    declares(ParallelConfig, "worker_extension_cls", "pipeline_parallel_size", "world_size")
    if current_platform.is_cpu():
        from vllm.v1.worker.cpu_model_runner import CPUModelRunner

        has(CPUModelRunner, "load_model", "get_model")


def model_configuration() -> None:
    """Says what a model is, and whether it is causal."""
    from vllm.config import ModelConfig

    declares(ModelConfig, "hf_config", "hf_text_config", "dtype", "quantization", "max_model_len")


def prefix_cache() -> None:
    """Is not read for a prompt that is measured."""
    from vllm import SamplingParams

    has(SamplingParams(), "skip_reading_prefix_cache")


def _runner(module: Any) -> None:
    runner = module.GPUModelRunner
    accepts(runner.execute_model, 2)
    has(runner, "sample_tokens", "load_model", "get_model")
    uses(runner.sample_tokens, "execute_model_state")
    uses(runner.execute_model, "execute_model_state", "use_aux_hidden_state_outputs")
    uses(runner.__init__, "execute_model_state", "vllm_config", "model_config", "use_aux_hidden_state_outputs")
    declares(module.ExecuteModelState, "hidden_states", "aux_hidden_states")


LOOKS = (
    plugin,
    workers,
    scheduler_output,
    model_runner,
    model_runner_v2,
    all_layers,
    model_configuration,
    prefix_cache,
)
