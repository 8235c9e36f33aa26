"""Trains, evaluates, or both: python -m launch.train --help."""

import json
import os
import shlex
import sys

from absl import flags

from engine.cluster.discovery import find_cluster
from engine.cluster.rendezvous import meet
from engine.errors import printable
from engine.measure import xla_flags
from engine.measure.environment import common_facts, compiled_for
from engine.process.preemption import Notices
from engine.process.progress import Progress
from launch.command import configs
from launch.command.checks import (
  check_calibrate,
  check_directory,
  check_model_dir,
)
from launch.command.door import run_door, words_of
from launch.command.flags import (
  config_from_flags,
  define_settings,
  files_layers,
  require,
  said_layers,
)
from launch.command.imports import slow_imports
from launch.command.own_metrics import define_metric, own_metrics
from launch.jobs import curve, gpus, seeds
from tasks import registry

MODES = ("train", "eval", "train_and_eval", "continuous_eval")

flags.DEFINE_enum("mode", "train_and_eval", MODES, "What to do.")
flags.DEFINE_string("model_dir", None, "Directory of the run; needed.")
flags.DEFINE_string(
  "seeds", "", "Train each, in MODEL_DIR/seed_N, and compare: 0-9, or 0,3,5."
)
flags.DEFINE_list(
  "train_fraction", [], "Parts of the training split to train with: 0.1,0.3,1."
)
flags.DEFINE_string(
  "calibrate", "", "Split to fit a temperature on, in the end: dev."
)
flags.DEFINE_list(
  "allow_config_change",
  [],
  "Settings in which a resumed run may differ: field,...",
)
flags.DEFINE_multi_string(
  "action", [], "module:Class that is told how the run gets on; repeatable."
)
flags.DEFINE_bool(
  "allow_other_files",
  False,
  "Train in a directory that is no run and holds other files.",
)
define_metric()
define_settings()


def tell_xla() -> str:
  """Says where XLA keeps programs, before anything imports TensorFlow.

  Returns:
    The folder; "" where none are kept.
  """
  asked = configs.merge({}, *files_layers(), *said_layers()).get("runtime")
  runtime = configs.from_dict({"runtime": asked or {}}).runtime
  if not runtime.compile_cache:
    return ""
  facts = compiled_for(runtime, gpus.kinds_of_host())
  if runtime.fixes_bits:  # The run says how many threads there are.
    facts["run"] = os.path.abspath(flags.FLAGS.model_dir or "")
  folder = xla_flags.folder_of(runtime.compile_cache, facts)
  xla_flags.keep_in(folder)
  return folder


def main() -> None:
  """Runs the experiment that the flags describe."""
  mode = flags.FLAGS.mode
  # Runs that it starts have folders of their own.
  starts = flags.FLAGS.seeds or len(flags.FLAGS.train_fraction) > 1
  folder = "" if starts else tell_xla()
  config = config_from_flags(own_tasks=True, evaluates=mode != "train")
  model_dir = require("model_dir")
  check_directory(model_dir, "model_dir")
  if mode.startswith("train") and not flags.FLAGS.allow_other_files:
    check_model_dir(model_dir)
  calibrated_on = flags.FLAGS.calibrate
  if calibrated_on:
    check_calibrate(calibrated_on, config.evaluation.splits, mode)
  fractions = curve.parse_fractions(flags.FLAGS.train_fraction)
  if len(fractions) > 1:
    sys.exit(curve.train_curve(fractions, flags.FLAGS.seeds, config, model_dir))
  if fractions:
    config = curve.with_fraction(config, fractions[0])
  if flags.FLAGS.seeds:
    own = [f"--train_fraction={x}" for x in fractions]
    sys.exit(seeds.train_each(flags.FLAGS.seeds, config, model_dir, own))
  trains = mode.startswith("train")
  progress = Progress()
  # Before the slow imports: a notice may come at any moment.
  notices = Notices(
    grace=config.runtime.grace_seconds,
    stop_files=[
      path
      for path in (config.runtime.stop_file, os.path.join(model_dir, "stop"))
      if path
    ],
  )
  notices.told = lambda reason: progress.report(stopped=reason)
  if trains:
    notices.listen()
  cluster = find_cluster(config.runtime, os.environ)
  if config.runtime.fixes_bits:
    from engine.cluster import threads
    from engine.durability.run_directory import RunDirectory

    config = threads.fixed(config, RunDirectory(model_dir).threads())
  if cluster:
    progress.report("meeting")
    cluster = meet(
      cluster,
      {
        "mode": mode,
        "model_dir": model_dir,
        "GPUs of a worker": gpus.seen_by_tensorflow(),
        **common_facts(config),
        **registry.code_facts(config.task.name),
      },
      timeout=config.runtime.startup_timeout,
      directory=model_dir,
    )
  # Imported behind the checks: TensorFlow takes seconds.
  with slow_imports():
    import tensorflow as tf

    from engine.cluster.strategies import create_strategy, is_chief
    from engine.measure.ledger import Ledger, process_seconds
    from engine.measure.result import summary_lines
    from engine.process.compile_cache import CompileCache
    from engine.run.experiment import Experiment
    from launch.trackers import find as trackers
    from launch.trained.calibrated import calibrate, lines

  notices.exists = tf.io.gfile.exists
  cache = CompileCache(folder) if folder else None
  if cache:
    cache.open()
  # First: what builds a task may touch a device, which settles the devices.
  strategy, choice = create_strategy(config.runtime, cluster)
  progress.report("start_up")  # TensorFlow's part of the meeting is over.
  if trains:
    notices.listen()  # Again: TensorFlow's cluster takes SIGTERM for itself.
  if is_chief(strategy) and not config.runtime.quiet:
    print(f"strategy {choice}", flush=True)
  task = registry.build_task(config.task)
  task.more_metrics = own_metrics(flags.FLAGS.metric)
  experiment = Experiment(
    config=config,
    task=task,
    model_dir=model_dir,
    command=shlex.join([*words_of("train"), *sys.argv[1:]]),
    ledger=Ledger(elapsed=process_seconds(), listener=progress.report),
    strategy=strategy,
    notices=notices,
    progress=progress,
    allowed=flags.FLAGS.allow_config_change,
    watchers=trackers.build(flags.FLAGS.action if trains else ()),
  )
  try:
    result = experiment.run(mode)
  finally:
    if cache and not cache.seal() and experiment.trained:
      print(
        f"`compile_cache` {cache.folder} holds no program in the end: it is "
        "full or gone, XLA has compiled none, or the task had touched a device "
        "when it was imported.",
        file=sys.stderr,
      )
  notices.close()
  if not experiment.is_chief:
    return
  if trains:
    from launch.pages.facts import overfitting_of
    from launch.pages.page import is_due, write_page

    report = os.path.join(model_dir, "report.html")
    ended = os.path.join(model_dir, "result.json")
    calibration = None
    if calibrated_on:
      splits = config.evaluation.splits
      calibration = calibrate(model_dir, calibrated_on, splits)
    # What was finished before is reported, and left as it is.
    if experiment.trained or calibration or is_due(report, ended):
      # The run has ended well, whatever becomes of its page.
      try:
        write_page([model_dir], report)
      except Exception as error:
        print(f"{report} could not be written: {error}", file=sys.stderr)
    print(printable("\n".join(summary_lines(result, model_dir))))
    if calibration:
      print("\n".join(lines(calibration)))
    if remark := overfitting_of(model_dir):
      print(f"  {remark}")
    # The status of a run that was finished before has told of it.
    if result["lost"] and experiment.trained:
      sys.exit(1)
  else:
    print(json.dumps(result))


if __name__ == "__main__":
  run_door(
    main,
    "Trains on sentence pairs or a task of your own, or resumes.",
    rare=(
      "action",
      "allow_config_change",
      "allow_other_files",
      "calibrate",
      "metric",
      "train_fraction",
    ),
  )
