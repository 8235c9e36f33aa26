"""What a directory holds of a run, held against what is asked for now."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

from engine.config import ExperimentConfig
from engine.durability import assets, listing, manifest
from engine.durability.run_directory import RunDirectory
from engine.errors import Damaged, Missing, UserError, quoted
from engine.files import write_json
from engine.formats import read_json
from engine.loop import order
from engine.task import Source
from engine.telemetry.job import Job
from engine.telemetry.starts import STARTS, have_been_committed

DATA = "data"  # Beside the settings: `data.train` stands for that split.
_FILE = "data.json"  # What a run was trained and evaluated on.
_SHAPE = {"splits": {str: {"examples": int, "digest": str, "order?": str}}}


@dataclasses.dataclass(frozen=True)
class Found:
  """What there is of a run that may go on.

  Attributes:
    changed: settings and data that differ and are allowed to.
    result: of a run that is finished, as it is asked for now.
    remarks: what its user should know.
    data: split -> `facts_of` it; of "train" also how the run orders it.
  """

  changed: Sequence[str]
  result: Mapping[str, Any] | None
  remarks: Sequence[str]
  data: Mapping[str, Any]


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
  kept, remarks = noted_data(directory), []
  try:
    # Without either, a start was killed while it wrote them.
    if assets.check(directory) or directory.committed():
      job.task.check_assets(directory.assets)
  except Damaged as error:
    if not assets.can_be_mended(directory, job.task.save_assets):
      raise
    remarks.append(f"{error.brief}: they are made anew")
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
  result = None if remarks else directory.result()
  if changed or (result and evaluates and not result["eval"]):
    result = None
  if not result:
    check_not_lost(directory)
    if not kept and manifest.prefixes(directory.checkpoints):
      remarks.append(
        "an older version began this run: its data are taken as the same"
      )
  kind = _order(kept.get("train"), data["train"], directory)
  data = {**data, "train": {**data["train"], "order": kind}}
  return Found(changed, result, remarks, data)


def _order(
  kept: Mapping[str, Any] | None,
  train: Mapping[str, Any],
  directory: RunDirectory,
) -> str:
  """Returns how a run orders its examples: as it began, on the same data.

  Args:
    kept: `facts_of` them, as the run had them; None where it has not noted it.
    train: the same of now.
    directory: of the run.
  """
  if kept is None and manifest.prefixes(directory.checkpoints):
    return order.SORT  # The cipher and such notes came together.
  if not kept or _told(kept) != _told(train):
    return order.kind_of(train["examples"])
  kind = kept.get("order", order.kind_of(train["examples"]))
  if kind not in order.KINDS:
    raise UserError(
      f"{directory.file(_FILE)} has examples ordered by {quoted(kind)}, which "
      "a newer Apsis can: use that, or take another --model_dir."
    )
  return kind


def check_not_lost(directory: RunDirectory) -> None:
  """Refuses to begin anew where checkpoints have been.

  Raises:
    UserError: naming what says that they have been.
  """
  places = (directory.checkpoints, directory.best)
  newest, best = (
    [x for x in manifest.prefixes(place) if manifest.is_committed(x)]
    for place in places
  )
  have_been = have_been_committed(directory.file(STARTS))
  if newest or have_been is False:
    return
  trace = ""
  if best:
    trace = f"best/{os.path.basename(best[-1])}"
  elif listing.read(directory.checkpoints):
    trace = "checkpoints/checkpoint"
  elif have_been:
    trace = STARTS
  if trace:
    raise UserError(
      f"{directory.checkpoints} has no finished checkpoint, but {trace} says "
      "that there have been some: bring them back from a copy, or begin anew "
      "in another --model_dir."
    )


def with_shapes(
  config: ExperimentConfig, directory: RunDirectory
) -> ExperimentConfig:
  """Keeps the shapes of a run that was begun before they were chosen.

  Other shapes add in another order: it would not go on to the last bit.
  """
  runtime, old = config.runtime, directory.read_config()
  if runtime.shapes != "auto" or old is None:
    return config
  first = (old.get("runtime") or {}).get("shapes", "fixed")
  return dataclasses.replace(
    config, runtime=dataclasses.replace(runtime, shapes=first)
  )


def facts_of(source: Source) -> dict[str, Any]:
  """Returns what tells the examples of a split from others.

  It is what the run makes of the files: where they are does not matter.
  """
  return {"examples": len(source), "digest": f"{source.digest():08x}"}


def noted_data(directory: RunDirectory) -> dict[str, Any]:
  """Reads what a run has noted: split -> `facts_of` it; {} if it has not.

  Raises:
    Unreadable: where it is there and cannot be used.
  """
  try:
    return read_json(directory.file(_FILE), _SHAPE)["splits"]
  except Missing:
    return {}
  except Damaged as error:
    cure = "remove it to go on with the data as they are"
    raise Damaged(error.path, error.why, cure) from error


def note_data(directory: RunDirectory, data: Mapping[str, Any]) -> None:
  """Notes data, whole or not at all; other splits stay as they were.

  Raises:
    OSError, tf.errors.OpError: where the disk refuses.
  """
  splits = {**noted_data(directory), **data}
  write_json(directory.file(_FILE), {"splits": splits})


def differences(
  kept: Mapping[str, Any], data: Mapping[str, Any]
) -> dict[str, str]:
  """Says which splits are not what they were: `data.SPLIT` -> a sentence part.

  Args:
    kept: split -> `facts_of` it, as the run had it.
    data: the same of now; a split that was not there is not compared.
  """
  return {
    f"{DATA}.{split}": f"{split}: {_told(kept[split])} -> {_told(facts)}"
    for split, facts in data.items()
    if split in kept and _told(kept[split]) != _told(facts)
  }


def _told(facts: Mapping[str, Any]) -> str:
  return f"{facts['examples']} examples with digest {facts['digest']}"
