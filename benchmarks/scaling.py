"""1 to N replicas and workers, held against a cost model: --help.

Weak scaling keeps the examples of a replica, strong scaling those of a global
batch. Each run is a fresh process of `launch.train` (one for each worker), its
step is the median of windows of the step bucket. The model is fitted to steps
of one replica and to all-reduces alone, so its error on the runs says what it
is worth; then it predicts accelerators, on paper.
"""

import dataclasses
import itertools
import json
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from benchmarks.harness.cells import (
  STEPS_PER_WINDOW,
  Strategy,
  check_accelerators,
  given_settings,
  windows_of,
)
from benchmarks.harness.record import row, write_record
from benchmarks.harness.runs import read_run
from benchmarks.scale import cost_model
from benchmarks.scale.spread import Way, efficiency, spread
from benchmarks.scale.two_hosts import missing
from engine.errors import UserError
from launch.command.door import run_door
from launch.command.flags import config_from_flags, define_settings

SETTINGS = ("task", "data_dir", "encoder", "global_batch_size", "precision")
flags.DEFINE_list("mirrored", ["2"], "Numbers of replicas of one process.")
flags.DEFINE_list("workers", ["2"], "Numbers of workers, on loopback.")
flags.DEFINE_list("links", ["1gbit", "10gbit"], "Two workers over such links.")
flags.DEFINE_integer("train_steps", 16, "Steps of a run.", lower_bound=10)
flags.DEFINE_integer("repeats", 1, "Runs of each.", lower_bound=1)
flags.DEFINE_string("output_dir", "benchmarks/results", "Where results go.")
flags.DEFINE_float("step_seconds", 0.05, "Paper: a step of one accelerator.")
flags.DEFINE_float("bandwidth", 25e9, "Paper: bytes/s of its link.")
flags.DEFINE_float("latency", 5e-6, "Paper: seconds of a message.")
flags.DEFINE_float("reduced_bytes", 440e6, "Paper: bytes that a step reduces.")
flags.DEFINE_float("store", 5e9, "Paper: bytes/s of a store, to all readers.")
define_settings(SETTINGS)

PAPER = (8, 16, 32, 64, 128, 256, 512, 1024)
SIZES = ("4000", "1000000", "16000000")


def main() -> None:
  """Measures, fits, predicts; writes one JSON file and a picture.

  Where no way is asked for, nothing is measured: the predictions are printed.
  """
  values = flags.FLAGS
  ways = [
    *(Way("mirrored", int(n)) for n in values.mirrored),
    *(Way("workers", int(n)) for n in values.workers),
  ]
  check_accelerators([Strategy.parse(f"mirrored:{n}") for n in values.mirrored])
  if not ways and not values.links:
    print("\n".join(paper_table(on_paper(values))))
    return
  reason = missing() if values.links else ""
  if reason and values["links"].present:
    raise UserError(f"`links` is {values.links}, but {reason}.")
  if reason:
    print(f"no links: {reason}", file=sys.stderr)
  else:
    ways += [Way(rate, 2) for rate in values.links]
  batch = config_from_flags(SETTINGS).train.global_batch_size
  # Imported behind the checks: TensorFlow takes seconds.
  from engine.measure.environment import environment

  runs: dict[tuple[Way, int], list[list[float]]] = {}
  one = Way("one", 1)
  plans = [(one, batch), (one, batch // 2)]
  for way in ways:
    plans += [(way, batch // 2 * way.replicas), (way, batch)]
  plans = list(dict.fromkeys(plans))
  for turn, (way, size) in itertools.product(range(values.repeats), plans):
    said(f"run {turn + 1}: {way}, global batch {size}")
    runs.setdefault((way, size), []).append(steps_of(way, size))
  seconds = {
    key: statistics.median(itertools.chain(*found))
    for key, found in runs.items()
  }
  compute = cost_model.fit_compute(
    [batch, batch // 2], [seconds[one, batch], seconds[one, batch // 2]]
  )
  links, alone = {}, {}
  for way in ways:
    said(f"all-reduces alone: {way}")
    alone[way] = all_reduces(way)
    links[way] = cost_model.fit_link(
      list(alone[way]), list(alone[way].values()), replicas=way.replicas
    )
  rows = []
  for (way, size), found in runs.items():
    predicted = None
    if way != one:
      predicted = cost_model.predict(
        compute,
        links[way],
        replicas=way.replicas,
        examples=size / way.replicas,
        size=bytes_of_a_step(way),
        crowd=way.replicas,  # They share this machine's cores.
      )
    rows.append(
      row(
        f"{way}, global batch {size}",
        "seconds of a step",
        found,
        better="lower",
        replicas=way.replicas,
        global_batch_size=size,
        predicted=predicted and dataclasses.asdict(predicted),
        efficiency=efficiency(seconds, way, size),
      )
    )
  paper = on_paper(values)
  known = [r for r in rows if r["predicted"]]
  mean, most = cost_model.errors(
    [r["predicted"]["step"] for r in known],
    [r["summary"]["median"] for r in known],
  )
  path = write_record(
    "scaling",
    rows,
    environment=environment(),
    output_dir=values.output_dir,
    compute=dataclasses.asdict(compute),
    links={str(w): dataclasses.asdict(link) for w, link in links.items()},
    all_reduce_seconds={str(w): found for w, found in alone.items()},
    error={"mean": mean, "most": most},
    paper=[dataclasses.asdict(p) for p in paper],
  )
  print("\n".join(table(rows)))
  print(
    f"the model was fitted to none of these; its error: {mean:.0%} on average, "
    f"{most:.0%} at most"
  )
  print("\n".join(paper_table(paper)))
  print(draw(rows, path))
  print(path)


def steps_of(way: Way, size: int) -> list[float]:
  """Seconds of a step in each window of one run."""
  values = flags.FLAGS
  with tempfile.TemporaryDirectory() as model_dir:
    command = ["launch.train", "--mode=train", "--quiet"]
    command += given_settings([n for n in SETTINGS if n != "global_batch_size"])
    command += [f"--global_batch_size={size}", f"--model_dir={model_dir}"]
    command += [f"--train_steps={values.train_steps}"]
    command += [f"--steps_per_loop={STEPS_PER_WINDOW}"]
    spread(way, command)
    _, lines = read_run(model_dir)
  windows = windows_of([line["work"] for line in lines])
  return [1 / rate for rate, _, _ in windows]


def all_reduces(way: Way) -> dict[int, float]:
  """Bytes -> seconds of an all-reduce."""
  sizes = f"--bytes={','.join(SIZES)}"
  lines = spread(way, ["benchmarks.scale.all_reduce", sizes])
  return {int(k): v for k, v in json.loads(lines[-1]).items()}


def bytes_of_a_step(way: Way) -> float:
  """Bytes that one step reduces, as a ring would.

  All gradients, of float32; between workers the word table's is gathered row by
  row (`engine.step.replica_step.sum_gradients`): left out, since it is small.
  """
  from tasks.encoders import find as encoders

  files = encoders.find(config_from_flags(SETTINGS).task.encoder)
  encoder = files.build(dropout=0.0)
  encoder.build(None)
  weights = encoder.trainable_weights
  if way.kind != "mirrored":
    weights = [w for w in weights if w.shape[:1] != [files.vocabulary_size]]
  return 4.0 * sum(w.shape.num_elements() for w in weights)


def on_paper(values: Any) -> list[cost_model.Prediction]:
  """What the model says of accelerators that each have a link."""
  link = cost_model.Link(latency=values.latency, bandwidth=values.bandwidth)
  compute = cost_model.Compute(fixed=values.step_seconds, per_example=0.0)
  return [
    cost_model.predict(
      compute, link, replicas=n, examples=1, size=values.reduced_bytes
    )
    for n in PAPER
  ]


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
  """A line for each row."""
  lines = [
    f"{'':36} step, s [95 % interval]  efficiency  predicted  of it all-reduce"
  ]
  for found in rows:
    step, predicted = found["summary"], found["predicted"]
    low, high = step["interval"]
    line = f"{found['name']:36} {step['median']:.4f} [{low:.4f}, {high:.4f}]"
    line += f"{found['efficiency']:10.0%}"
    if predicted:
      line += f"{predicted['step']:13.4f}{predicted['reduce_share']:13.0%}"
    lines.append(line)
  return lines


def paper_table(paper: Sequence[cost_model.Prediction]) -> list[str]:
  """A line for each number of accelerators, and of workers."""
  values = flags.FLAGS
  link = cost_model.Link(latency=values.latency, bandwidth=values.bandwidth)
  store = values.store
  checkpoint = 3.0 * values.reduced_bytes  # Weights, and two moments of each.
  return [
    f"predicted by the model, not measured: weak scaling of a step of "
    f"{values.step_seconds:g} s, {values.reduced_bytes / 1e6:g} MB, links of "
    f"{values.bandwidth / 1e9:g} GB/s and {values.latency * 1e6:g} us",
    "  accelerators   step, s   efficiency   of it all-reduce",
    *(
      f"{p.replicas:14} {p.step:9.4f} {p.efficiency:12.0%}"
      f"{p.reduce_share:19.0%}"
      for p in paper
    ),
    f"of workers, with loops of 5 steps, a store of {store / 1e9:g} GB/s and "
    f"checkpoints of {checkpoint / 1e9:g} GB: where each votes and reads, and "
    "where flags ride on the sum and one reads",
    "  workers   votes, ms of a step   restore, s       read, GB",
    *(
      f"{n:9}   {before.vote * 1e3:8.3g}, {now.vote * 1e3:8.2g}"
      f"   {before.restore:6.3g}, {now.restore:4.2g}"
      f"   {before.read / 1e9:6.3g}, {now.read / 1e9:4.2g}"
      for n in PAPER
      for before, now in [
        (
          cost_model.voting(link, workers=n, size=checkpoint, store=store),
          cost_model.riding(link, workers=n, size=checkpoint, store=store),
        )
      ]
    ),
  ]


def draw(rows: Sequence[Mapping[str, Any]], path: str) -> str:
  """Draws measured steps, with intervals, and what was predicted."""
  import matplotlib

  matplotlib.use("Agg")
  from matplotlib import pyplot

  figure, axis = pyplot.subplots(
    figsize=(9, 1.2 + 0.4 * len(rows)), layout="constrained"
  )
  for place, found in enumerate(rows):
    median, (low, high) = (
      found["summary"]["median"],
      found["summary"]["interval"],
    )
    axis.barh(place, median, color="#9fc3d1", zorder=2)
    axis.plot([low, high], [place, place], color="black", zorder=3)
    if found["predicted"]:
      axis.plot(
        found["predicted"]["step"], place, "D", color="#b3541e", zorder=4
      )
  axis.plot([], [], "D", color="#b3541e", label="cost model")
  axis.set_yticks(range(len(rows)), [found["name"] for found in rows])
  axis.invert_yaxis()
  axis.set_xlabel("seconds of a step: median, 95 % interval")
  axis.grid(axis="x", color="#dddddd", zorder=0)
  axis.legend(loc="lower right")
  picture = path.removesuffix(".json") + ".png"
  figure.savefig(picture, dpi=120)
  pyplot.close(figure)
  return picture


def said(message: str) -> None:
  """Tells a user who waits."""
  print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
  run_door(main, "Measures scaling on this machine, against a cost model.")
