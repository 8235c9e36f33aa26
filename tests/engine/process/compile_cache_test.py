"""No compiled program is trusted that is not as it was written."""

import glob
import json
import os
import subprocess
import sys

import pytest

from engine.errors import UserError
from engine.measure.xla_flags import folder_of
from engine.process.compile_cache import CompileCache
from tests.support.testing import ROOT

FACTS = {"tensorflow": "2.20.0", "cpu": "one", "flags": ["avx2"]}
ENTRY = "xla_compile_cache__1__2__XLA_CPU_JIT.pb"


def cache_in(directory, **facts):
  return CompileCache(folder_of(str(directory), {**FACTS, **facts}))


def opened(directory, **facts):
  """What a new process is given."""
  return cache_in(directory, **facts).open()


def fill(kept, name=ENTRY, content=b"program"):
  path = os.path.join(kept.folder, name)
  with open(path, "wb") as file:
    file.write(content)
  return path


@pytest.fixture
def kept(tmp_path):
  """One that holds a program, sealed."""
  kept = cache_in(tmp_path)
  assert kept.open() == []
  fill(kept)
  kept.seal()
  return kept


def test_a_program_is_kept_for_the_next_process(tmp_path, kept):
  assert opened(tmp_path) == [ENTRY]
  assert opened(tmp_path) == [ENTRY]


@pytest.mark.parametrize(
  "other",
  [{"tensorflow": "2.21.0"}, {"cpu": "another"}, {"flags": ["avx2", "amx"]}],
)
def test_other_versions_and_other_hardware_find_nothing(tmp_path, kept, other):
  assert opened(tmp_path, **other) == []
  assert opened(tmp_path) == [ENTRY]


@pytest.mark.parametrize("content", [b"", b"progr", b"programs", b"Program"])
def test_a_program_that_is_not_as_it_was_written_goes(tmp_path, kept, content):
  path = fill(kept, content=content)
  assert opened(tmp_path) == []
  assert not os.path.exists(path)


def test_a_program_that_a_killed_process_left_unlisted_goes(tmp_path, kept):
  path = fill(kept, "xla_compile_cache__3__4__XLA_GPU_JIT.pb")
  assert opened(tmp_path) == [ENTRY]
  assert not os.path.exists(path)


@pytest.mark.parametrize("listed", ["{", "[]", '{"a": 1}', ""])
def test_without_a_whole_list_no_program_is_trusted(tmp_path, kept, listed):
  with open(os.path.join(kept.folder, "programs.json"), "w") as file:
    file.write(listed)
  assert opened(tmp_path) == []


def test_what_is_no_program_stays(tmp_path, kept):
  note = fill(kept, "note.txt")
  link = os.path.join(kept.folder, "xla_compile_cache__5__6__XLA_CPU_JIT.pb")
  os.symlink(note, link)
  assert opened(tmp_path) == [ENTRY]
  assert os.path.exists(note) and os.path.islink(link)


def test_two_processes_fill_it_at_once(tmp_path):
  """What one writes while the other lists goes at most; the rest is there."""
  one, other = cache_in(tmp_path), cache_in(tmp_path)
  one.open()
  other.open()
  fill(one)
  half = fill(other, "xla_compile_cache__7__8__XLA_CPU_JIT.pb", b"ha")
  one.seal()
  with open(half, "wb") as file:
    file.write(b"half and half")
  assert opened(tmp_path) == [ENTRY]
  fill(other, os.path.basename(half), b"half and half")
  other.seal()
  assert opened(tmp_path) == [ENTRY, os.path.basename(half)]


def test_a_directory_that_cannot_be_written_is_refused(tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(UserError, match="file.* cannot be written .*: choose"):
    cache_in(tmp_path / "file").open()


def test_a_directory_that_others_may_write_to_is_refused(tmp_path, kept):
  os.chmod(kept.folder, 0o777)
  with pytest.raises(UserError, match="may be written by others"):
    opened(tmp_path)
  os.rename(kept.folder, tmp_path / "elsewhere")
  os.symlink(tmp_path / "elsewhere", kept.folder)
  with pytest.raises(UserError, match="may be written by others"):
    opened(tmp_path)


def test_a_cache_that_is_gone_stops_no_run(kept):
  for name in os.listdir(kept.folder):
    os.unlink(os.path.join(kept.folder, name))
  os.rmdir(kept.folder)
  kept.seal()


def test_a_restart_takes_what_was_compiled_and_trains_the_same(tmp_path):
  """In new interpreters: XLA's flags are read as TensorFlow is imported."""
  weights, written = [], []
  for turn in range(2):
    for first in sorted(written[0])[:1] if written else ():
      with open(first, "r+b") as file:
        file.truncate(os.path.getsize(first) // 2)
    run = tmp_path / str(turn)
    command = (
      *(sys.executable, "-m", "launch.train", "--xla", "--mode=train"),
      *("--task=examples.digits:Digits", "--train_steps=4"),
      *(f"--model_dir={run}", f"--compile_cache={tmp_path / 'cache'}"),
    )
    environ = {**os.environ, "TF_XLA_FLAGS": ""}
    ended = subprocess.run(
      command, cwd=ROOT, env=environ, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert "`compile_cache`" not in ended.stderr
    result = json.loads((run / "result.json").read_text())
    weights.append(result["weights_sha256"])
    found = glob.glob(str(tmp_path / "cache" / "*" / "*.pb"))
    written.append({x: os.stat(x).st_mtime_ns for x in found})
  one, other = written
  assert weights[0] == weights[1]
  assert one and one.keys() <= other.keys()
  changed = [name for name in one if other[name] != one[name]]
  assert changed == sorted(one)[:1]  # The one that was cut off.
