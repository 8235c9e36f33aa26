"""Programs that equal runs of this process share: traced and compiled once.

A run that goes on, in a test, does so in the process that it was stopped in,
and most runs differ from others in nothing that a program is made of. So what a
run builds is kept: the next one of the same model, optimizer and replicas has
its objects with their programs. All else is built anew, and each variable has
again the value that it was created with: what no checkpoint holds is lost, as
with a process.
"""

import contextlib
import functools
from typing import Any
from unittest import mock

import tensorflow as tf

from engine.loop import trainer
from engine.run import builder
from engine.run.builder import Builder
from engine.settings import leaves
from tasks.sentence_pair import SentencePairTask

# Nothing that the device computes depends on these.
_OF_THE_HOST = (
  "checkpoint.",
  "evaluation.eval_interval",
  "evaluation.patience",
  "evaluation.split",
  "runtime.log_",
  "runtime.quiet",
  "runtime.steps_per_loop",
)
_MADE = (
  (Builder, "_model"),
  (builder, "build_averages"),
  (builder, "build_optimizer"),
  (builder, "Guard"),
  (builder, "LossScale"),
  (builder, "Shares"),
  (trainer, "DeviceStep"),
)
_parts = Builder.parts


class _Built:
  """What the first of equal runs has built."""

  def __init__(self):
    self._made: dict[str, Any] = {}
    self._variables: list[tf.Variable] = []
    self._first: list[Any] = []
    self._functions: dict[Any, Any] = {}

  def parts(self, *args, **kwargs):
    """What `Builder.parts` returns, of kept objects."""
    for variable, value in zip(self._variables, self._first, strict=True):
      variable.assign(value)
    self._check_captures()
    with contextlib.ExitStack() as stack:
      stack.enter_context(tf.variable_creator_scope(self._create))
      for owner, name in _MADE:
        make = self._once(name, getattr(owner, name))
        stack.enter_context(mock.patch.object(owner, name, make))
      model, trainer, evaluator = _parts(*args, **kwargs)
    self._first = self._first or [v.numpy() for v in self._variables]
    self._keep_functions("trainer", trainer.programs)
    for i, each in enumerate(evaluator.evaluators if evaluator else ()):
      self._keep_functions(i, each.programs)
    return model, trainer, evaluator

  def _once(self, name, make):
    def made(*args, **kwargs):
      if name not in self._made:
        self._made[name] = make(*args, **kwargs)
      return self._made[name]

    return made

  def _create(self, create, **kwargs):
    assert not self._first, "a run has a variable that the first had not"
    self._variables.append(create(**kwargs))
    return self._variables[-1]

  def _keep_functions(self, owner, programs):
    compile_ = programs._compile

    def kept(shape):
      if (owner, shape) in self._functions:
        programs.traces += 1
      else:
        self._functions[owner, shape] = compile_(shape)
      return self._functions[owner, shape]

    programs._compile = kept

  def _check_captures(self):
    """A program keeps nothing from step to step but in these variables."""
    known = {id(v.handle) for v in self._variables}
    for function in self._functions.values():
      for traced in function._list_all_concrete_functions():
        resources = [
          x for x in traced.captured_inputs if x.dtype == tf.resource
        ]
        assert {*map(id, resources)} <= known, (
          "it keeps what no run has created"
        )


_built: dict[Any, _Built] = {}


def _parts_of(self, train, *devs, order=""):
  task = self._task
  facts = vars(task)
  if type(task) is SentencePairTask:
    facts = {"config": str(task.config)}
  if not all(isinstance(x, int | float | str) for x in facts.values()):
    return _parts(self, train, *devs, order=order)
  settings = [
    (name, str(value))
    for name, value, _ in leaves(self._config)
    if not name.startswith(_OF_THE_HOST)
  ]
  key = (
    *(type(task), *facts.items(), *settings),
    *(self._strategy, len(train), order),
  )
  built = _built.get(key, _Built())
  parts = built.parts(self, train, *devs, order=order)
  _built[key] = built  # Not where it was refused.
  return parts


def kept(function):
  """Lets a function that runs experiments keep what they build."""

  @functools.wraps(function)
  def call(*args, **kwargs):
    with mock.patch.object(Builder, "parts", _parts_of):
      return function(*args, **kwargs)

  return call
