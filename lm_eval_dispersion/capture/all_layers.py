"""``--model_args ...,worker_extension_cls=lm_eval_dispersion.capture.all_layers.AllLayers``: vLLM shows every layer.

vLLM can return the residual stream before each block beside the final hidden states, inside its compiled graphs: the
"auxiliary hidden states" of speculative decoding (``SupportsEagle3`` in ``vllm/model_executor/models/interfaces.py``).
The engine has to be told before it compiles, so a request comes too late and an argument is needed. vLLM imports a
worker's extension class in the worker, before the model is loaded, and nowhere else; this module asks for all layers as
soon as the model is there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class AllLayers:
    """Adds nothing to the worker; naming it in ``worker_extension_cls`` is the request."""


def _asked(runner: Any) -> bool:
    return str(runner.vllm_config.parallel_config.worker_extension_cls) == f"{__name__}.{AllLayers.__qualname__}"


def _show_all_layers(runner: Any) -> None:
    """Turns auxiliary hidden states on for h[0] to h[L - 1]; h[L] is the final hidden state.

    Where that cannot be, the reason is left with the runner, for lm_eval's process to say before the run.
    """
    from vllm.model_executor.models.interfaces import supports_eagle3

    config = runner.vllm_config
    reason = None
    if config.speculative_config is not None:
        reason = "speculative decoding needs the auxiliary hidden states itself"
    elif not supports_eagle3(runner.get_model()):
        reason = f"vLLM's {type(runner.get_model()).__name__} does not show them (model_impl=transformers may)"
    if reason:
        runner.dispersion_refused = reason
        return
    runner.model.set_aux_hidden_state_layers(tuple(range(runner.model_config.get_total_num_hidden_layers())))
    runner.use_aux_hidden_state_outputs = True
    runner.dispersion_all_layers = True


def _after_loading(runner_class: Any) -> None:
    inner: Callable[..., Any] = runner_class.load_model

    def load_model(runner: Any, *args: Any, **kwargs: Any) -> Any:
        result = inner(runner, *args, **kwargs)
        # One runner's method may call another's.
        if _asked(runner) and not getattr(runner, "dispersion_all_layers", False):
            _show_all_layers(runner)
        return result

    runner_class.load_model = load_model


def _install() -> None:
    from vllm.platforms import current_platform
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner

    _after_loading(GPUModelRunner)
    if current_platform.is_cpu():
        from vllm.v1.worker.cpu_model_runner import CPUModelRunner

        _after_loading(CPUModelRunner)
    else:
        from vllm.v1.worker.gpu.model_runner import GPUModelRunner as GPUModelRunnerV2

        _after_loading(GPUModelRunnerV2)


_install()
