"""Two real workers on loopback train and evaluate as one process does."""

import io
import json
import os
import signal
import sys

import numpy as np
import pytest

from launch.jobs.ranks import free_ports, run_workers
from tests.support import workers
from tests.support.doors import Door
from tests.support.testing import strategy_of
from tests.support.training import compare_runs, lines


def start(directory, *fate):
  """Runs tests/support/workers.py as two workers; returns how they ended."""
  hosts = [f"127.0.0.1:{port}" for port in free_ports(2)]
  running = []
  for i in range(2):
    own = directory / f"worker_{i}"
    own.mkdir()
    rest = ("--", ",".join(hosts), str(i), str(directory), *fate)
    running.append(Door(own, "tests.support.workers", *rest))
  if "frozen" in fate:
    victim = running[int(fate[1])]
    ended = running[1 - int(fate[1])].end()
    victim.process.kill()  # Nothing less ends it.
    victim.end()
    return ended, hosts
  return [worker.end() for worker in running], hosts


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory):
  directory = tmp_path_factory.mktemp("workers")
  ended, hosts = start(directory)
  assert [worker.status for worker in ended] == [0, 0], ended
  return directory, hosts


@pytest.mark.parametrize("name", [x for x in workers.RUNS if "again" not in x])
def test_two_workers_train_as_one_process_does(two_workers, tmp_path, name):
  there = two_workers[0] / name
  alone = workers.experiment(name, str(tmp_path), strategy_of(1))
  expected = alone.run("train_and_eval")
  got = json.loads((there / "result.json").read_text())
  assert (got["strategy"], got["workers"]) == ("multi_worker", 2)
  compare_runs(tmp_path / name, there)
  ids = [lines(x, None, "example_ids.jsonl") for x in (there, tmp_path / name)]
  assert ids[0] == ids[1] and len(ids[0]) == 20
  assert got["eval"]["examples_seen"] == expected["eval"]["examples_seen"]
  assert got["eval"]["confusion"] == expected["eval"]["confusion"]


def test_two_runs_on_two_workers_are_bitwise_equal(two_workers):
  one, other = (
    json.loads((two_workers[0] / name / "result.json").read_text())
    for name in ("line", "line again")
  )
  assert one["weights_sha256"] == other["weights_sha256"]
  assert one["eval"] == other["eval"]


def test_two_workers_evaluate_53_examples_as_one_process_does(two_workers):
  found = json.loads((two_workers[0] / "evaluations.json").read_text())
  for replicas in (1, 4):
    expected = workers.evaluations(strategy_of(replicas))
    assert found.keys() == expected.keys()
    for size, got in found.items():
      assert got["examples_seen"] == 53
      assert got["confusion"] == expected[size]["confusion"]
      np.testing.assert_allclose(got["loss"], expected[size]["loss"], rtol=1e-6)


def test_what_workers_read_must_be_equal(two_workers):
  directory, hosts = two_workers
  said = {
    json.loads((directory / f"disagreement_{i}.json").read_text())
    for i in (0, 1)
  }
  assert len(said) == 1
  assert f"worker 1 ({hosts[1]}) differs" in (text := said.pop())
  assert "(own: 0 -> 1)" in text


def test_workers_find_one_peak_together(two_workers):
  one, other = (
    json.loads((two_workers[0] / f"peak_{i}.json").read_text()) for i in (0, 1)
  )
  assert one == other
  assert one["source"] == "measured" and one["flops_per_second"] > 1e9


def test_only_the_chief_writes(two_workers):
  directory = two_workers[0] / "pairs"
  assert len(list(directory.glob("tensorboard/train/*"))) == 1
  assert [p.name for p in directory.glob("**/*.part")] == []


@pytest.mark.parametrize(
  ("fate", "victim", "status"),
  [
    ("killed", 0, -signal.SIGKILL),
    ("killed", 1, -signal.SIGKILL),
    ("mistaken", 1, 2),
  ],
)
def test_where_one_worker_ends_the_other_does_and_names_it(
  tmp_path, fate, victim, status
):
  ended, hosts = start(tmp_path, fate, str(victim))
  assert ended[victim].status == status
  survivor = ended[1 - victim]
  line = survivor.err.splitlines()[-1]
  if fate == "killed":
    assert survivor.status == os.EX_TEMPFAIL
    assert f"worker {victim} ({hosts[victim]}) ended or cannot be rea" in line
    assert "the same command on all workers goes on" in line
  else:
    assert survivor.status == 2
    assert f"worker {victim} ({hosts[victim]}) differs" in line
    assert "mistakes: 0 -> 1" in line
  assert not list(tmp_path.glob("*/result.json"))


def test_where_the_chief_stands_still_the_other_ends_as_at_a_loss(tmp_path):
  """Its port takes calls all the while: only the heartbeat is missing."""
  survivor, hosts = start(tmp_path, "frozen", "0")
  assert survivor.status == os.EX_TEMPFAIL, survivor.err
  line = survivor.err.splitlines()[-1]
  assert "ended or cannot be reached" in line
  assert "the same command on all workers goes on" in line


def test_the_output_of_workers_is_prefixed_and_the_worst_status_counts():
  script = (
    "import json, os, sys; i = json.loads(os.environ['TF_CONFIG'])['task']"
    "['index']; print('one\\ntwo', i); sys.exit([0, 3, 75][i])"
  )
  output = io.StringIO()
  status = run_workers(
    [sys.executable, "-c", script],
    3,
    grace=60.0,
    stream=output,
  )
  assert status == 3  # 75 says no more than that a peer was lost.
  assert sorted(output.getvalue().splitlines()) == sorted(
    line for i in range(3) for line in (f"[{i}] one", f"[{i}] two {i}")
  )


def test_the_workers_of_a_job_share_a_secret_that_no_command_shows():
  script = (
    "import os; token = os.environ['APSIS_JOB_TOKEN']\n"
    "with open('/proc/self/cmdline') as file: assert token not in file.read()\n"
    "print(token)"
  )
  jobs = []
  for _ in range(2):
    output = io.StringIO()
    command = [sys.executable, "-c", script]
    assert run_workers(command, 3, grace=60.0, stream=output) == 0
    jobs.append({line.split()[1] for line in output.getvalue().splitlines()})
  (one,), (other,) = jobs
  assert one != other and len(one) == 64


def test_where_one_fails_the_others_are_ended(tmp_path):
  """The second fails once the first can be told to end."""
  script = (
    "import json, os, signal, sys\n"
    "ready = sys.argv[1]\n"
    "if json.loads(os.environ['TF_CONFIG'])['task']['index']:\n"
    "  while not os.path.exists(ready): pass\n"
    "  sys.exit(2)\n"
    "def told(*_):\n"
    "  print('told')\n"
    "  sys.exit(0)\n"
    "signal.signal(signal.SIGTERM, told)\n"
    "open(ready, 'w').close()\n"
    "while True: signal.pause()"
  )
  output = io.StringIO()
  status = run_workers(
    [sys.executable, "-c", script, str(tmp_path / "ready")],
    2,
    grace=2.0,
    stream=output,
  )
  assert status == 2
  assert output.getvalue() == "[0] told\n"


def test_a_reader_that_went_away_does_not_stop_the_workers():
  class Gone(io.StringIO):
    def write(self, _):
      raise BrokenPipeError

  status = run_workers(
    [sys.executable, "-c", "print('x' * 1_000_000)"],
    1,
    grace=60.0,
    stream=Gone(),
  )
  assert status == 0
