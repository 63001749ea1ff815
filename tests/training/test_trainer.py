"""PushAway on a Trainer: what it logs, what it leaves alone, and what it refuses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from trainers import gradients, logged, model, rows, trainer
from transformers import T5Config, T5ForConditionalGeneration, Trainer

from lm_eval_dispersion._errors import TaskError
from lm_eval_dispersion.training import PushAway, koleo

OURS = {"dispersion", "push_away", "lam"}


def ended(of: Trainer) -> tuple[list[dict[str, float]], dict[str, Tensor]]:
    """Trains with the same dropout each time; the logs without ours, and the weights."""
    torch.manual_seed(0)
    of.train()
    logs = [{k: v for k, v in log.items() if k not in OURS} for log in logged(of)]
    return logs, of.model.state_dict()


def several(folder: Path, **changed: Any) -> Trainer:
    """Four steps with dropout, in float32."""
    of = model(torch.float32, attention_dropout=0.1)
    steps = {"max_steps": 4, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "optim": "adamw_torch"}
    return trainer(folder, rows(32), of, **steps | changed)


@pytest.mark.parametrize("objective", [None, koleo], ids=["push_away", "koleo"])
@pytest.mark.parametrize(
    "changed", [{}, {"gradient_checkpointing": True}, {"bf16": True}], ids=["plain", "checkpointing", "bf16"]
)
def test_a_monitor_leaves_training_bit_identical(tmp_path: Path, changed: dict[str, Any], objective: Any) -> None:
    logs, weights = ended(several(tmp_path, **changed))
    watched = several(tmp_path, **changed)
    PushAway(0, **({"objective": objective} if objective else {})).attach(watched)
    watched_logs, watched_weights = ended(watched)
    assert watched_logs == logs
    assert all(torch.equal(weights[name], watched_weights[name]) for name in weights)
    assert all(log["lam"] == 0 and 0 < log["dispersion"] < 2 for log in logged(watched))


def test_a_log_holds_the_averages_of_the_steps_since_the_last(tmp_path: Path) -> None:
    every, averaged = several(tmp_path), several(tmp_path, logging_steps=2)
    for of in (every, averaged):
        PushAway(0.2, decay_steps=3).attach(of)
        ended(of)
    for name in OURS:
        each = [log[name] for log in logged(every)]
        assert [log[name] for log in logged(averaged)] == pytest.approx(
            [(each[0] + each[1]) / 2, (each[2] + each[3]) / 2]
        )
    assert [log["lam"] for log in logged(every)] == pytest.approx([0.2, 0.4 / 3, 0.2 / 3, 0])
    assert [log["push_away"] for log in logged(every)] == pytest.approx([-log["dispersion"] for log in logged(every)])


def test_pushing_raises_dispersion(tmp_path: Path) -> None:
    last = []
    for lam in (0, 1):
        of = several(tmp_path, max_steps=12, learning_rate=1e-3)
        of.model.model.embed_tokens.weight.data += 0.05  # a common direction
        PushAway(lam).attach(of)
        ended(of)
        last.append(logged(of)[-1]["dispersion"])
    assert last[1] > last[0] + 0.05


def test_evaluation_is_left_alone(tmp_path: Path) -> None:
    plain, of = several(tmp_path), several(tmp_path)
    PushAway(0.5, domains="domain").attach(of)
    assert of.evaluate(rows(4))["eval_loss"] == plain.evaluate(rows(4))["eval_loss"]
    assert not any(OURS & set(entry) for entry in of.state.log_history)


def test_after_detach_all_is_as_before(tmp_path: Path) -> None:
    logs, weights = ended(several(tmp_path))
    of = several(tmp_path)
    of._set_signature_columns_if_needed()
    before = dict(vars(of))
    push = PushAway(0.5, domains="domain").attach(of)
    hooks = of.model.model._forward_hooks
    assert hooks
    push.detach()
    push.detach()
    assert vars(of) == before and not hooks
    assert ended(of)[0] == logs
    assert all(torch.equal(weights[name], value) for name, value in of.model.state_dict().items())
    assert not any(OURS & set(log) for log in logged(of))


def test_what_another_has_wrapped_since_stays_and_passes_through(tmp_path: Path) -> None:
    of, calls = several(tmp_path), []
    push = PushAway(0.5).attach(of)
    inner = of.compute_loss

    def theirs(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return inner(*args, **kwargs)

    of.compute_loss = theirs
    push.detach()
    assert ended(of)[0] == ended(several(tmp_path))[0] and len(calls) == 8


def test_it_attaches_again_after_it_is_detached(tmp_path: Path) -> None:
    push = PushAway(0.5).attach(several(tmp_path))
    push.detach()
    of = several(tmp_path)
    push.attach(of)
    of.train()
    assert all(set(log) >= OURS for log in logged(of))


def test_a_subclass_keeps_its_own_loss(tmp_path: Path) -> None:
    class Theirs(Trainer):
        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **kwargs: Any) -> Any:
            loss, outputs = super().compute_loss(model, inputs, return_outputs=True, **kwargs)
            return (3 * loss, outputs) if return_outputs else 3 * loss

    plain, of = (several(tmp_path) for _ in range(2))
    plain.__class__ = of.__class__ = Theirs
    PushAway(0).attach(of)
    assert ended(of)[0] == ended(plain)[0]


def test_bf16_autocast_measures_in_float32(tmp_path: Path) -> None:
    found = []
    for bf16 in (False, True):
        of = trainer(tmp_path, of=model(torch.float32), bf16=bf16)
        PushAway(0.3).attach(of)
        of.train()
        assert gradients(of)[0].isfinite().all()
        found.append(logged(of)[0]["dispersion"])
    assert found[1] == pytest.approx(found[0], abs=5e-3) and found[0] != found[1]


def test_torch_compile(tmp_path: Path) -> None:
    found = []
    for compile_ in (False, True):
        torch.compiler.reset()
        of = trainer(tmp_path, of=model(num_hidden_layers=1), torch_compile=compile_, torch_compile_backend="aot_eager")
        PushAway(0.3).attach(of)
        of.train()
        found.append((gradients(of), [log["push_away"] for log in logged(of)]))
    assert found[1][1] == pytest.approx(found[0][1])
    for compiled, eager in zip(found[1][0], found[0][0], strict=True):
        torch.testing.assert_close(compiled, eager)


def test_lora(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    found = []
    for lam in (0.0, 0.3):
        torch.manual_seed(0)
        of = trainer(
            tmp_path, of=get_peft_model(model(), LoraConfig(r=2, task_type="CAUSAL_LM", init_lora_weights=False))
        )
        PushAway(lam).attach(of)
        of.train()
        found.append((gradients(of)[0], logged(of)[0]))
    (plain, log), (pushed, again) = found
    assert len(plain) < 1000 and again["dispersion"] == log["dispersion"]
    assert (pushed - plain).abs().max() > 1e-6


def test_the_page_runs(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "training.md"
    hidden = torch.randn(2, 5, 8, requires_grad=True)
    names = {"trainer": trainer(tmp_path), "hidden": hidden, "mask": torch.ones(2, 5, dtype=torch.bool), "loss": 0}
    for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S):
        exec(block, names)
    assert logged(names["trainer"])[0]["dispersion"] > 0 and names["loss"].requires_grad


@pytest.mark.parametrize("lam", [-0.1, float("nan"), float("inf")])
def test_a_weight_below_zero_is_refused(lam: float) -> None:
    with pytest.raises(ValueError, match=r"^lam must be a finite number of at least 0 \(0 only logs\), got "):
        PushAway(lam)


def test_a_schedule_without_steps_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^decay_steps must be at least 1, got 0$"):
        PushAway(decay_steps=0)


@pytest.mark.parametrize("labels", ["masked", "one token"])
def test_a_step_without_a_pair_is_pushed_by_nothing_and_logs_no_dispersion(tmp_path: Path, labels: str) -> None:
    data = rows(2)
    for i, row in enumerate(data):
        row["labels"] = [-100] * len(row["input_ids"])
        if labels == "one token" and i == 0:
            row["labels"][1] = 5
    logs, found = [], []
    for lam in (0.0, 0.3):
        of = trainer(tmp_path, data)
        PushAway(lam).attach(of)
        of.train()
        logs += logged(of)
        found += gradients(of)
    assert all(OURS & set(log) == {"lam"} for log in logs)
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=0, equal_nan=True)


def test_vectors_that_are_not_finite_are_left_out_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    of = trainer(tmp_path)

    def spoil(module: Any, args: Any, output: Any) -> Any:
        output.last_hidden_state[0, 0] = torch.nan
        return output

    of.model.model.register_forward_hook(spoil)
    PushAway(0.3).attach(of)
    of.train()
    assert 0 < logged(of)[0]["dispersion"] < 2
    (said,) = [record.getMessage() for record in caplog.records if "lm_eval_dispersion" in record.name]
    assert said == "1 hidden vectors since the last log were NaN or infinite: the push-away leaves them out"


def said_by(of: Any, push: PushAway | None = None) -> str:
    with pytest.raises(TaskError) as error:
        (push or PushAway()).attach(of)
        of.train()
    said = str(error.value)
    assert "\n" not in said and said.startswith("lm-eval-dispersion: ")
    return said


def test_a_missing_column_of_domains_is_said(tmp_path: Path) -> None:
    data = [{"input_ids": row["input_ids"]} for row in rows()]
    assert "PushAway(domains='domain') needs that column" in said_by(
        trainer(tmp_path, data), PushAway(domains="domain")
    )


def test_domains_below_zero_are_said(tmp_path: Path) -> None:
    data = [{**row, "domain": row["domain"] - 1} for row in rows()]
    assert "integers from 0" in said_by(trainer(tmp_path, data), PushAway(domains="domain"))


def test_a_second_one_is_refused(tmp_path: Path) -> None:
    of = trainer(tmp_path)
    push = PushAway().attach(of)
    assert "this trainer has a PushAway" in said_by(of)
    assert "this PushAway is attached" in said_by(trainer(tmp_path), push)


def test_what_is_no_trainer_is_refused() -> None:
    assert "attach takes a transformers.Trainer; object has no compute_loss" in said_by(object())


class Linear(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(64, 64)

    def forward(self, input_ids: Tensor, labels: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        logits = self.embed(input_ids)
        return {"loss": torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels), "logits": logits}


def test_a_model_without_hidden_states_is_refused(tmp_path: Path) -> None:
    assert "Linear has no get_decoder(), so PushAway finds no hidden states" in said_by(trainer(tmp_path, of=Linear()))
    small = {"d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2, "vocab_size": 64}
    t5 = T5ForConditionalGeneration(T5Config(**small))
    assert "has an encoder and a decoder" in said_by(trainer(tmp_path, of=t5))


def test_a_decoder_whose_output_is_none_is_said(tmp_path: Path) -> None:
    of = model()
    of.get_decoder = lambda: torch.nn.Linear(2, 2)  # which no forward pass calls
    assert "saw no forward pass of Linear" in said_by(trainer(tmp_path, of=of))
    of.get_decoder = lambda: of
    assert "the output of LlamaForCausalLM has no last_hidden_state" in said_by(trainer(tmp_path, of=of))


def test_virtual_tokens_are_said(tmp_path: Path) -> None:
    from peft import PromptTuningConfig, get_peft_model

    of = get_peft_model(model(torch.float32), PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3))
    assert "the model's hidden states are [8, 15, 16], the batch is [8, 12]" in said_by(trainer(tmp_path, of=of))


def test_data_parallel_in_one_process_and_cut_sequences_are_refused(tmp_path: Path) -> None:
    of = trainer(tmp_path)
    of.args._n_gpu = 2
    assert "does not work in nn.DataParallel" in said_by(of)
    of.args._n_gpu = 1
    of.get_cp_size = lambda: 2
    assert "cp_size is 2" in said_by(of)
