"""Steps are lowered at once, and compiled for their largest shape."""

import pytest
import tensorflow as tf

from engine.errors import UserError
from engine.measure.ledger import Ledger
from engine.planning.compiled import PlannedStep, compile_steps
from engine.planning.compiler import needed_bytes
from engine.planning.lowering import compile_only_strategy
from engine.planning.plan import make_plan
from engine.run.builder import Builder
from tests.support.testing import LineTask, tiny_config

REPLICAS = 2


class Compiler:
  """In the place of libtpu's: all fit it, and each takes more than the last."""

  def __init__(self):
    self.facts = {"granted_bytes": 10**9}
    self.programs = []

  def compile(self, hlo, *, replicas):
    assert replicas == REPLICAS
    self.programs.append(hlo)
    return {
      "ok": True,
      "held_bytes": 100,
      "temporary_bytes": len(self.programs) * 10,
      "code_bytes": 10,
      "compile_seconds": 1.0,
    }


def steps_of(task):
  config = tiny_config(train={"global_batch_size": 8})
  strategy = compile_only_strategy(REPLICAS)
  builder = Builder(
    config=config, task=task, strategy=strategy, ledger=Ledger()
  )
  model, trainer, evaluator = builder.parts(
    task.source("train"), task.source("dev")
  )
  plan = make_plan(
    config=config,
    replicas=REPLICAS,
    model=model,
    optimizer=trainer.optimizer,
    train=trainer.inputs,
    evaluation=evaluator.inputs,
  )
  return [
    PlannedStep("train", plan.train, trainer, strategy),
    PlannedStep("eval", plan.evaluation, evaluator, strategy),
  ]


def test_each_step_is_compiled_and_the_largest_batch_is_that_of_training():
  compiler, said = Compiler(), []
  found = compile_steps(
    compiler,
    steps_of(LineTask()),
    largest="estimate",
    say=lambda text, end="\n": said.append(text + end),
  )
  train, evaluation = found["train"], found["eval"]
  assert (train["shape"], train["examples"]) == ((8,), 4)
  assert (evaluation["shape"], evaluation["examples"]) == ((32,), 16)
  assert train["largest"]["tried"] == {4: "compiled", 16: "compiled"}
  assert evaluation["largest"] is None
  assert train["ahead_bytes"] == 4 * train["batch_bytes"] > 4 * 4 * 8 * 4
  assert len(set(compiler.programs)) == 3  # One for each shape.
  assert "".join(said).splitlines() == [
    "compiling the train step, 4 examples a device: 1 s",
    "compiling the train step, 16 examples a device: 1 s",
    "compiling the eval step, 16 examples a device: 1 s",
  ]


@pytest.mark.parametrize("largest", ["estimate", "search"])
def test_what_needs_more_than_a_device_has_does_not_fit(largest):
  """As of a GPU, whose compiler takes programs of any size."""
  steps, say = steps_of(LineTask()), lambda *_, **__: None
  known = compile_steps(Compiler(), steps, largest="off", say=say)["train"]
  compiler = Compiler()
  compiler.facts["granted_bytes"] = needed_bytes(known)
  found = compile_steps(compiler, steps, largest=largest, say=say)
  train, evaluation = found["train"], found["eval"]
  assert train["ok"] and train["largest"]["examples"] == train["examples"] == 4
  tried = {4: "compiled", 8: "memory", 16: "memory"}
  assert train["largest"]["tried"] == tried
  compiler.facts["granted_bytes"] -= 1
  train = compile_steps(compiler, steps, largest="off", say=say)["train"]
  assert (train["ok"], train["kind"]) == (False, "memory")
  assert train["needed_bytes"] > compiler.facts["granted_bytes"]
  assert not evaluation["ok"]  # 16 examples, at once.


def test_what_xla_refuses_does_not_wait_for_the_compiler():
  class Printing(LineTask):
    def loss(self, labels, outputs):
      tf.print(outputs)
      return super().loss(labels, outputs)

  compiler = Compiler()
  with pytest.raises(UserError, match="cannot be compiled by XLA"):
    compile_steps(
      compiler, steps_of(Printing()), largest="off", say=lambda *_, **__: None
    )
  assert not compiler.programs
