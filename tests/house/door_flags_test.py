"""Whatever the flags of a door are given, it answers in one line."""

import json
import os
import subprocess
import sys

import pytest

from tests.support.testing import ROOT

# A door, and what ends it before it does anything, if its flags do not.
DOORS = {
  "train": ["--worker_hosts=x"],
  "plan": ["--worker_hosts=x", "--encoder=/nowhere"],
  "predict": [],
  "export": [],
  "encode": ["--task=none"],
  "inspect": ["--task=none"],
  "checkpoints": ["list"],
  "compare": ["/nowhere", "/nowhere"],
  "report": ["/nowhere"],
  "doctor": ["stray"],
  "cluster": [],
  "supervise": [],
}
GARBAGE = [
  "",
  "-1",
  "nan",
  "1e400",
  "9" * 5000,
  "a" * 100_000,
  "x\x1b[31m\ny",
  "\udcff\u202e٣",
  "{a: &a [*a]}",
  "../../x",
  "a.b=" + "[" * 5000,
]

WALK = """
import importlib, json, os, runpy, sys, tempfile
doors, garbage, share = json.loads(sys.stdin.read())
import launch.command.door, launch.jobs.seeds, engine.cluster.rendezvous
from absl import flags

def ended(door, *arguments):
  # The status and the lines of a door, which is a process of its own.
  with tempfile.TemporaryFile() as file:
    child = os.fork()
    if not child:
      os.dup2(file.fileno(), 1)
      os.dup2(file.fileno(), 2)
      sys.argv = [door, *arguments]
      try:
        runpy.run_module(door, run_name="__main__", alter_sys=True)
      except SystemExit as error:
        os._exit(error.code or 0)
      except BaseException:
        import traceback
        traceback.print_exc()
      os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    file.seek(0)
    return status, file.read().decode(errors="replace")

tried = 0
for door, base in doors.items():
  reading, writing = os.pipe()
  if not os.fork():
    importlib.import_module(f"launch.{door}")
    found = flags.FLAGS.flags_by_module_dict()
    names = [x.name for k in found if k.startswith("launch.") for x in found[k]]
    os.write(writing, json.dumps(names).encode())
    os._exit(0)
  os.close(writing)
  with os.fdopen(reading) as file:
    names = json.load(file)
  os.wait()
  for k, name in enumerate(names):
    for i, value in enumerate(garbage):
      if (i + k) % share:
        continue
      tried += 1
      status, text = ended(f"launch.{door}", *base, f"--{name}={value}")
      good = status == 2 and text.count("\\n") == 1 and len(text) <= 301
      if not good or not text[:-1].isprintable():
        print(door, name, ascii(value[:30]), status, ascii(text[-300:]))
assert tried > 50
"""


def walked(directory, share):
  ended = subprocess.run(
    [sys.executable, "-c", WALK],
    input=json.dumps([DOORS, GARBAGE, share]),
    cwd=directory,
    env={**os.environ, "PYTHONPATH": ROOT},
    capture_output=True,
    text=True,
  )
  assert ended.returncode == 0, ended.stderr[-2000:]
  return ended.stdout


def test_garbage_in_a_flag_is_one_line_and_status_2(tmp_path):
  """A flag in three, with one piece of garbage; the slow test has all."""
  assert not walked(tmp_path, share=33)
  assert not [*tmp_path.iterdir()]


@pytest.mark.slow
def test_all_garbage_in_all_flags_is_one_line_and_status_2(tmp_path):
  assert not walked(tmp_path, share=1)
