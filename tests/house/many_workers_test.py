"""64 processes meet, lose one, come back, and all hear what one was told.

They are stubs: they have the launcher's, the supervisor's and the meeting's
part of a run, and compute nothing.
"""

import io
import sys

import pytest

from launch.jobs.ranks import run_workers

WORKERS, LOST = 64, 17

STUB = """
import os, sys
from engine.cluster.discovery import find_cluster
from engine.cluster.rendezvous import meet
from engine.config import RuntimeConfig
from engine.errors import UserError

workers, lost = int(sys.argv[2]), int(sys.argv[3])
cluster = find_cluster(RuntimeConfig(), os.environ)
met = meet(cluster, {"seed": 0}, timeout=200.0)
assert sorted(met.addresses) == list(range(workers))
died = os.path.join(sys.argv[1], "died")
if not os.path.exists(died) and cluster.index == lost:
  open(died, "w").close()
  os._exit(9)
try:
  meet(cluster, {"told to stop": cluster.index == lost}, timeout=200.0)
except UserError as error:
  print(error)
"""


@pytest.mark.slow
def test_64_processes_meet_lose_one_come_back_and_hear_one(tmp_path):
  output = io.StringIO()
  status = run_workers(
    [sys.executable, "-c", STUB, str(tmp_path), str(WORKERS), str(LOST)],
    WORKERS,
    grace=2.0,
    max_restarts=1,
    stall_timeout=300.0,
    stream=output,
  )
  assert status == 0, output.getvalue()[-2000:]
  assert (tmp_path / "died").exists()
  said = output.getvalue().splitlines()
  heard = {x.split("]")[0] for x in said if f"worker {LOST} " in x}
  assert heard == {f"[{i}" for i in range(WORKERS)}
