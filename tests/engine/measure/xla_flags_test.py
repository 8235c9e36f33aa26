"""XLA is told of one folder of programs, for what they depend on."""

import os

import pytest

from engine.config import RuntimeConfig
from engine.errors import UserError
from engine.measure import environment, xla_flags


@pytest.fixture(autouse=True)
def flags(monkeypatch):
  """What XLA is told, forgotten after the test."""
  monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_clustering_debug")


def test_a_folder_is_told_once_and_is_no_fact_of_programs():
  for _ in range(2):
    xla_flags.keep_in("/a/b")
  assert os.environ["TF_XLA_FLAGS"] == (
    "--tf_xla_clustering_debug --tf_xla_persistent_cache_directory=/a/b"
  )
  assert xla_flags.others() == ["--tf_xla_clustering_debug"]


def test_a_second_folder_and_a_path_with_a_space_are_refused():
  with pytest.raises(UserError, match="no path with a space"):
    xla_flags.keep_in("/a b")
  xla_flags.keep_in("/a/b")
  with pytest.raises(UserError, match="leave one of them out"):
    xla_flags.keep_in("/a/c")


def test_what_code_depends_on_names_the_folder(tmp_path, monkeypatch):
  def folder(*gpus, **settings):
    facts = environment.compiled_for(RuntimeConfig(**settings), gpus)
    return xla_flags.folder_of(str(tmp_path), facts)

  found = [folder(), folder(threads=3), folder(deterministic=True)]
  found.append(folder("H100, 580.1"))
  with monkeypatch.context() as patch:
    patch.setenv("CUDA_VISIBLE_DEVICES", "1")
    found.append(folder("H100, 580.1"))
    patch.setattr(environment, "_build", lambda: "of our own")
    found.append(folder("H100, 580.1"))
  assert folder() == found[0] and len({*found}) == 6
  monkeypatch.setattr(environment, "versions", lambda: {"apsis": "changed"})
  found.append(folder())
  monkeypatch.setattr(environment, "versions", lambda: {"apsis": "again"})
  assert folder() == found[6] not in found[:6]
  monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
  assert folder() not in found
