"""Which processes train together, and which of them this one is."""

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from engine.cluster.address import split
from engine.config import RuntimeConfig
from engine.errors import UserError, quoted, words_of

_EXAMPLE = (
  '{"cluster": {"worker": ["host:port", ...]}, '
  '"task": {"type": "worker", "index": 0}}'
)
_MOST = 2**15  # Workers; each has a port of its own behind the chief's.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cluster:
  """The workers of one run; worker 0 is the chief.

  Attributes:
    size: number of workers.
    index: of this process.
    addresses: index -> host:port; at least those of the chief and of this
      process. `engine.cluster.rendezvous` completes it.
    found_in: what said so.
  """

  size: int
  index: int
  addresses: Mapping[int, str]
  found_in: str

  def name(self, index: int) -> str:
    """Names a worker in a message: its index and, if known, its address."""
    address = self.addresses.get(index)
    return f"worker {index} ({address})" if address else f"worker {index}"


def find_cluster(
  config: RuntimeConfig, environ: Mapping[str, str]
) -> Cluster | None:
  """Finds the cluster that flags or a launcher describe, or None.

  In this order: `worker_hosts`; `TF_CONFIG`, which Kubeflow and launch.cluster
  set; what Slurm's `srun` sets.

  Raises:
    UserError: where the description makes no sense.
  """
  if config.worker_hosts:
    hosts = [host.strip() for host in config.worker_hosts.split(",")]
    return _listed(hosts, config.worker_index, "`worker_hosts`")
  if environ.get("TF_CONFIG"):
    return _from_tf_config(environ["TF_CONFIG"])
  try:
    if _number(environ.get("SLURM_STEP_NUM_TASKS") or "1") > 1:
      return _from_slurm(environ)
    nodes = _number(environ.get("SLURM_JOB_NUM_NODES") or "1")
  except (KeyError, ValueError) as error:
    raise UserError(
      f"Slurm's variables are incomplete ({error}): start the workers with "
      "srun, or name them by --worker_hosts and --worker_index."
    ) from error
  if (
    nodes > 1
    and "SLURM_STEP_NUM_TASKS" not in environ
    and config.strategy == "auto"
  ):
    raise UserError(
      f"This Slurm job has {nodes} nodes, but without srun only the first "
      "would train: put srun in front, or name a --strategy for one node."
    )
  return None


def _listed(hosts: Sequence[Any], index: int, found_in: str) -> Cluster:
  seen = set()
  for host in hosts:
    try:
      name, port = split(str(host))
    except ValueError:
      raise UserError(
        f"{found_in} names the worker {quoted(str(host))}, but a worker is "
        "host:port."
      ) from None
    if (name.lower(), port) in seen:
      raise UserError(
        f"{found_in} names {host} twice: give each worker an address of its "
        "own."
      )
    seen.add((name.lower(), port))
  if not 0 <= index < len(hosts):
    raise UserError(
      f"This process is worker {index}, but {found_in} has workers 0 to "
      f"{len(hosts) - 1}: set --worker_index or the task's index."
    )
  return Cluster(
    size=len(hosts),
    index=index,
    addresses=dict(enumerate(hosts)),
    found_in=found_in,
  )


def _from_tf_config(text: str) -> Cluster | None:
  try:
    values = json.loads(text)
    cluster, task = values["cluster"], values["task"]
    kind, index = str(task["type"]), _number(str(task["index"]))
    chiefs = list(cluster.get("chief", cluster.get("master", [])))
    workers = list(cluster.get("worker", []))
  except (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
  ) as error:
    raise UserError(
      f"TF_CONFIG cannot be read ({type(error).__name__}: "
      f"{words_of(error, 80)}): it must be like {_EXAMPLE}, or unset."
    ) from error
  if kind not in ("chief", "master", "worker"):
    raise UserError(
      f"TF_CONFIG makes this process a {quoted(kind)}, but Apsis has chief and "
      "workers only: for an evaluator unset TF_CONFIG and start "
      "--mode=continuous_eval."
    )
  if kind == "worker":
    index += len(chiefs)
  return _listed(chiefs + workers, index, "TF_CONFIG")


def _from_slurm(environ: Mapping[str, str]) -> Cluster:
  """Reads what `srun` sets for each task of a step.

  Ports follow the job, its step and the rank, so jobs, steps and tasks that
  share a node, or virtual nodes that share a machine, do not collide. Only the
  chief's node must be known here: rank 0 runs on the first of the list, which
  Slurm sorts; only an arbitrary distribution may begin elsewhere.

  Raises:
    KeyError, ValueError: where one is missing or odd.
  """
  if environ.get("SLURM_DISTRIBUTION") == "arbitrary":
    raise UserError(
      "Slurm's distribution is 'arbitrary', which hides on which node rank 0 "
      "runs: use --distribution=block or cyclic, or name the workers by "
      "--worker_hosts and --worker_index."
    )
  index, size = (
    _number(environ[name]) for name in ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS")
  )
  if not index < size <= _MOST:
    raise ValueError(f"rank {index} of {size}")
  job = _number(environ["SLURM_JOB_ID"])
  step = _number(environ.get("SLURM_STEP_ID", "0"))
  port = 10000 + (job + 101 * step) * 64 % 20000
  first = f"{first_host(environ['SLURM_STEP_NODELIST'])}:{port}"
  own = f"{environ['SLURMD_NODENAME']}:{port + index}"
  for address in (first, own):
    split(address)
  return Cluster(
    size=size,
    index=index,
    addresses={0: first, index: own},
    found_in="Slurm's variables",
  )


def first_host(hostlist: str) -> str:
  """Returns the first host of Slurm's notation: a[07-09,12]b,c -> a07b."""
  first = re.match(r"(?:[^,\[]|\[[^\]]*\])*", hostlist)
  return re.sub(r"\[(\w+)[^\]]*\]", r"\1", first[0] if first else "")


def _number(text: str) -> int:
  """Reads a number of a launcher, of ten digits at most."""
  if not re.fullmatch(r"[0-9]{1,10}", text):
    raise ValueError(f"{quoted(text)} is not a number")
  return int(text)
