"""The bits of an op depend on its threads: who fixes them, and to what."""

import os

import pytest

from engine.cluster import threads
from engine.errors import UserError
from launch.jobs.ranks import worker_environ
from tests.support.testing import tiny_config

HOSTS = ["127.0.0.1:1", "127.0.0.1:2"]
RUNS = {"deterministic": True}, {"reproducible": True}


@pytest.fixture(autouse=True)
def cores(monkeypatch):
  """A machine of eight cores, on which nobody has asked for anything."""
  monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(8))
  for name in ("TF_NUM_INTRAOP_THREADS", threads.SHARE):
    monkeypatch.delenv(name, raising=False)
  return monkeypatch


def found(runtime, first=0):
  config = threads.fixed(tiny_config(runtime=runtime), first)
  return config.runtime.threads


def as_worker(patch, **environ):
  for name, value in worker_environ(environ, HOSTS, 1).items():
    patch.setenv(name, value)


@pytest.mark.parametrize("runtime", RUNS)
def test_a_run_keeps_the_threads_of_its_first_process(runtime, cores):
  assert found(runtime) == 8
  assert found(runtime, first=3) == 3
  assert found({**runtime, "threads": 2}, first=3) == 2
  as_worker(cores)
  assert found(runtime, first=3) == 3


def test_the_bits_of_a_reproducible_run_do_not_depend_on_its_workers(cores):
  as_worker(cores)
  deterministic, reproducible = map(found, RUNS)
  assert (deterministic, reproducible) == (4, 8)


@pytest.mark.parametrize("runtime", RUNS)
def test_what_a_user_asks_tensorflow_for_comes_first(runtime, cores):
  as_worker(cores, TF_NUM_INTRAOP_THREADS="5")
  assert found(runtime) == threads.own(tiny_config().runtime) == 5


def test_a_worker_has_its_share_of_the_cores(cores):
  assert threads.own(tiny_config().runtime) == 0
  as_worker(cores)
  assert threads.own(tiny_config().runtime) == 4
  assert threads.own(tiny_config(runtime={"threads": 3}).runtime) == 3
  assert found({}) == 0  # Nobody fixes them.


@pytest.mark.parametrize("value", ["many", "-1", "1.5", "10000"])
@pytest.mark.parametrize("name", ["TF_NUM_INTRAOP_THREADS", threads.SHARE])
def test_what_is_no_number_of_threads_is_refused(cores, name, value):
  cores.setenv(name, value)
  with pytest.raises(UserError, match=f"{name} is '{value}': let it be"):
    threads.own(tiny_config().runtime)
