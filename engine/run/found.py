"""What a directory holds of a run, held against what is asked for now."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from engine.durability import manifest
from engine.errors import UserError
from engine.run.job import Job
from engine.task import Source

DATA = "data"  # Beside the settings: `data.train` names what it is made of.


@dataclasses.dataclass(frozen=True)
class Found:
  """What there is of a run that may go on.

  Attributes:
    changed: settings and data that differ and are allowed to.
    result: of a run that is finished, as it is asked for now.
    remarks: what its user should know.
  """

  changed: Sequence[str]
  result: Mapping[str, Any] | None
  remarks: Sequence[str]


def facts_of(source: Source) -> dict[str, Any]:
  """Returns what tells the examples of a split from others."""
  return {"examples": len(source), "digest": f"{source.digest():08x}"}


def find(job: Job, data: Mapping[str, Any], *, evaluates: bool) -> Found:
  """Looks at the directory of a job; writes nothing.

  Args:
    job: with all that the run may differ in.
    data: split -> `facts_of` it.
    evaluates: whether a result without an evaluation is none.

  Raises:
    UserError: where it holds another run, or one that has lost its checkpoints.
  """
  directory = job.directory
  changed = directory.check(job.config, job.allowed)
  job.task.check_assets(directory.assets)
  kept, remarks = directory.data(), []
  apart = differences(kept, data)
  if apart and any(name.startswith("task.") for name in changed):
    # The task reads the same files in another way.
    remarks.append(f"the data are read anew: {'; '.join(apart.values())}")
  else:
    refused = {
      name: both
      for name, both in apart.items()
      if not {DATA, name} & {*job.allowed}
    }
    if refused:
      raise UserError(
        f"`model_dir` {directory.path} holds a run on other data "
        f"({'; '.join(refused.values())}): bring the old data back or take "
        f"another --model_dir; --allow_config_change={','.join(refused)} goes "
        "on with these."
      )
    changed += apart
  result = directory.result()
  if changed or (result and evaluates and not result["eval"]):
    result = None
  if not result:
    directory.check_not_lost()
    if not kept and manifest.prefixes(directory.checkpoints):
      remarks.append(
        "an older version began this run: its data are taken as the same"
      )
  return Found(changed, result, remarks)


def differences(
  kept: Mapping[str, Any], data: Mapping[str, Any]
) -> dict[str, str]:
  """Says which splits are not what they were: `data.SPLIT` -> a sentence.

  Args:
    kept: split -> `facts_of` it, as the run had it.
    data: the same of now; a split that was not there is not compared.
  """
  return {
    f"{DATA}.{split}": f"{split}: {_told(kept[split])} -> {_told(facts)}"
    for split, facts in data.items()
    if split in kept and kept[split] != facts
  }


def _told(facts: Mapping[str, Any]) -> str:
  return f"{facts['examples']} examples with digest {facts['digest']}"
