"""Checkpoints lie at multiples of the interval; damage is said."""

import hashlib
import json
import os
import pathlib
import shutil

import pytest
import tensorflow as tf

from engine.config import CheckpointConfig, TrainConfig
from engine.durability import manifest
from engine.durability.checkpoints import Checkpoints
from engine.durability.committer import Committer
from engine.durability.lock import Lock
from engine.durability.restore import restore, restore_newest
from engine.errors import UserError
from engine.measure.ledger import Ledger
from engine.settings import identity

CONFIG = {"train.seed": 1, "task.name": "demo"}


def save(directory, step=3):
  """A small checkpoint with its manifest; returns its prefix."""
  checkpoint = tf.train.Checkpoint(value=tf.Variable([1.0] * 64))
  prefix = checkpoint.write(os.path.join(str(directory), f"ckpt-{step}"))
  manifest.write_manifest(
    prefix,
    step=step,
    config=CONFIG,
    versions={"python": "3.12"},
    metrics={"accuracy": 0.5},
  )
  return prefix


def rewrite(prefix, old=False, **values):
  """Writes other values, with the digest that belongs to them."""
  path = pathlib.Path(prefix + ".manifest.json")
  values = {**json.loads(path.read_text()), **values}
  values.pop("digest", None)
  if old:
    values.pop("settings", None)
    values["format"] = 1
  else:
    text = json.dumps(values, sort_keys=True)
    values["digest"] = hashlib.sha256(text.encode()).hexdigest()
  path.write_text(json.dumps(values))


def manager(
  directory, step, value, interval=3, committer=None, clock=None, **policy
):
  return Checkpoints(
    tf.train.Checkpoint(value=value, global_step=step),
    directory=str(directory),
    policy=CheckpointConfig(
      **{
        "checkpoint_interval": interval,
        "max_to_keep": 2,
        "async_checkpoint": False,
        **policy,
      }
    ),
    committer=committer or Committer(config={}, versions={}),
    ledger=Ledger(),
    **({"clock": clock} if clock else {}),
  )


def begun(checkpoints):
  """Begins where a checkpoint must be."""
  return checkpoints.begin(lambda: pytest.fail("began anew"))


def steps(directory):
  return sorted(
    int(name.split("-")[1].split(".")[0])
    for name in os.listdir(directory)
    if name.endswith(".index")
  )


@pytest.fixture
def saved(tmp_path):
  step, value = tf.Variable(0, dtype=tf.int64), tf.Variable(0.0)
  checkpoints = manager(tmp_path, step, value)
  for now in range(1, 11):
    step.assign(now)
    value.assign(now / 2)
    checkpoints.save(checkpoint_number=now)
  return tmp_path


def test_saves_at_multiples_and_keeps_the_newest(saved):
  assert steps(saved) == [6, 9]


def test_an_unchecked_save_saves_once(saved):
  step, value = tf.Variable(9, dtype=tf.int64), tf.Variable(4.5)
  checkpoints = manager(saved, step, value)
  begun(checkpoints)
  assert checkpoints.save(checkpoint_number=9, check_interval=False) is None
  step.assign(10)
  checkpoints.save(checkpoint_number=10, check_interval=False)
  assert steps(saved) == [9, 10]


def test_restores_the_newest_or_initializes(saved, tmp_path_factory):
  step, value = tf.Variable(0, dtype=tf.int64), tf.Variable(0.0)
  made = []
  checkpoints = manager(saved, step, value)
  assert begun(checkpoints).endswith("ckpt-9")
  assert (int(step), float(value)) == (9, 4.5)
  fresh = manager(tmp_path_factory.mktemp("fresh"), step, value)
  assert fresh.begin(lambda: made.append(1)) is None
  assert fresh.restore_or_initialize() is None  # As Orbit does.
  assert made == [1]


@pytest.mark.skipif(
  not os.path.exists("/proc/self/io"), reason="Linux counts what is read"
)
def test_a_restore_reads_each_byte_twice(tmp_path):
  """Once for its SHA-256, once for the variables; TensorFlow looks around."""
  step = tf.Variable(3, dtype=tf.int64)
  value = [tf.Variable(tf.random.normal([2**19])) for _ in range(8)]
  manager(tmp_path, step, value).save(checkpoint_number=3)
  size = sum(each.stat().st_size for each in tmp_path.iterdir())

  def read_so_far():
    return int(pathlib.Path("/proc/self/io").read_text().split()[1])

  before = read_so_far()
  begun(manager(tmp_path, step, value))
  assert size < read_so_far() - before < 2 * size + 2**21


def test_an_interval_of_zero_is_refused(tmp_path):
  with pytest.raises(AssertionError):
    manager(tmp_path, tf.Variable(0), tf.Variable(0.0), interval=0)


def files_of(directory, step):
  return sorted(directory.glob(f"ckpt-{step}.*"))


DAMAGE = {
  "truncated": lambda path, old: path.write_bytes(old[: len(old) // 2]),
  "flipped": lambda path, old: path.write_bytes(bytes([old[0] ^ 1]) + old[1:]),
  "emptied": lambda path, old: path.write_bytes(b""),
  "deleted": lambda path, old: path.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_run_goes_on_from_the_older_one_whatever_is_damaged(
  saved, damage, caplog, tmp_path_factory
):
  files = files_of(saved, 9)
  assert len(files) == 3  # Index, data, manifest.
  for path in files:
    caplog.clear()
    copy = shutil.copytree(saved, tmp_path_factory.mktemp("run") / "copy")
    DAMAGE[damage](copy / path.name, path.read_bytes())
    step, value = tf.Variable(0, dtype=tf.int64), tf.Variable(0.0)
    checkpoints = manager(copy, step, value)
    assert begun(checkpoints).endswith("ckpt-6"), path
    assert (int(step), float(value)) == (6, 3.0)
    assert path.name in caplog.text
    step.assign(9)
    value.assign(4.5)
    assert checkpoints.save(checkpoint_number=9).endswith("ckpt-9")
    assert manifest.verify(str(copy / "ckpt-9")).step == 9


def test_where_all_are_damaged_nothing_begins_anew(saved):
  for path in saved.glob("*.index"):
    path.write_bytes(b"")
  checkpoints = manager(saved, tf.Variable(0, dtype=tf.int64), tf.Variable(0.0))
  with pytest.raises(UserError, match=r"no whole checkpoint .*ckpt-9.index"):
    begun(checkpoints)


def test_a_checkpoint_that_does_not_fit_is_no_damage(saved):
  target = tf.train.Checkpoint(value=tf.Variable(tf.zeros([2])))
  with pytest.raises(UserError, match=r"ckpt-9 is whole, but does not fit"):
    restore_newest(target, str(saved))


def test_what_a_checkpoint_lacks_is_counted_not_shown(saved, caplog):
  more = {"value": tf.Variable(0.0), "scale": tf.Variable(1.0)}
  with pytest.raises(UserError, match=r"\(it lacks 1 variable\(s\) that are"):
    restore_newest(tf.train.Checkpoint(**more), str(saved))
  skipped = [x for x in caplog.messages if x.startswith("skipped")]
  assert len(skipped) == 2
  for line in skipped:
    assert line.count(str(saved)) == 1 and len(line) <= 300


@pytest.mark.parametrize("step", [6, 12])
def test_what_lies_in_the_place_of_a_later_checkpoint_is_refused(saved, step):
  stranger = saved / f"ckpt-{step}.data-00000-of-00001"
  stranger.unlink(missing_ok=True)
  stranger.symlink_to("/dev/zero")
  value = tf.Variable(0.0)
  checkpoints = manager(saved, tf.Variable(0, dtype=tf.int64), value)
  if step < 9:  # It is not written any more.
    assert begun(checkpoints).endswith("ckpt-9")
    return
  with pytest.raises(UserError, match=f"{stranger} is no regular file.*remove"):
    begun(checkpoints)
  assert stranger.is_symlink()


def test_a_checkpoint_of_another_config_is_refused(saved):
  config, other = TrainConfig(), TrainConfig(seed=3)
  manifest.write_manifest(
    str(saved / "ckpt-9"), step=9, config=identity(config), versions={}
  )
  target = tf.train.Checkpoint(value=tf.Variable(0.0))
  with pytest.raises(UserError, match=r"another run \(seed: 0 -> 3\)"):
    restore_newest(target, str(saved), config=other)
  restore_newest(target, str(saved), config=other, allowed=["seed"])
  assert restore_newest(target, str(saved), config=config).endswith("ckpt-9")


def test_a_newer_format_stops_the_run(saved):
  rewrite(str(saved / "ckpt-9"), format=manifest.FORMAT + 1)
  target = tf.train.Checkpoint(value=tf.Variable(0.0))
  with pytest.raises(UserError, match="format 4, but this Apsis reads formats"):
    restore_newest(target, str(saved))


def test_a_checkpoint_holds_the_values_at_its_save_though_training_goes_on(
  tmp_path,
):
  step, value = tf.Variable(0, dtype=tf.int64), tf.Variable(tf.zeros([1000]))
  checkpoints = manager(
    tmp_path, step, value, interval=1, async_checkpoint=True
  )
  for now in range(1, 6):
    step.assign(now)
    value.assign(tf.fill([1000], float(now)))
    checkpoints.save(checkpoint_number=now)
    value.assign_add(tf.fill([1000], 0.5))
    step.assign_add(100)
  assert checkpoints.settle().endswith("ckpt-5")
  for now in (4, 5):
    reader = tf.train.load_checkpoint(str(tmp_path / f"ckpt-{now}"))
    found = reader.get_tensor("value/.ATTRIBUTES/VARIABLE_VALUE")
    assert set(found.tolist()) == {float(now)}
    assert manifest.verify(str(tmp_path / f"ckpt-{now}")).step == now
  assert len(checkpoints.stalls) == 5


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_save_that_fails_is_told_and_the_next_one_saves(
  tmp_path, caplog, asynchronous
):
  full = []

  class OnASmallDisk(Committer):
    def commit(self, prefix, step, metrics=None):
      if full:
        raise OSError(28, "No space left on device")
      super().commit(prefix, step, metrics)

  step, value = tf.Variable(1, dtype=tf.int64), tf.Variable(1.0)
  checkpoints = manager(
    tmp_path,
    step,
    value,
    interval=1,
    async_checkpoint=asynchronous,
    committer=OnASmallDisk(config={}, versions={}),
  )
  checkpoints.save(checkpoint_number=1)
  assert checkpoints.settle().endswith("ckpt-1")
  full.append(1)
  step.assign(2)
  checkpoints.save(checkpoint_number=2)
  assert checkpoints.settle().endswith("ckpt-1")
  assert "ckpt-2 could not be saved" in caplog.text
  assert "No space left" in caplog.text
  assert steps(tmp_path) == [1]
  checkpoints.save(checkpoint_number=2, check_interval=False)
  assert checkpoints.settle().endswith("ckpt-1")
  full.clear()
  checkpoints.save(checkpoint_number=2, check_interval=False)
  assert checkpoints.settle().endswith("ckpt-2")
  step.assign(3)
  checkpoints.save(checkpoint_number=3)
  assert checkpoints.settle().endswith("ckpt-3")
  assert (steps(tmp_path), checkpoints.failed_saves) == ([2, 3], 2)


@pytest.mark.parametrize(("other", "newest"), [(0.0, 9), (1.0, 6)])
def test_what_a_save_was_to_replace_stays_where_it_fails(
  saved, monkeypatch, other, newest
):
  """Nobody knows what a checkpoint is that cannot be read for a while."""
  names = set(os.listdir(saved))
  sha256_of = manifest.sha256_of

  def denied(path):
    if "ckpt-9" in path:
      raise PermissionError(13, "Permission denied")
    return sha256_of(path)

  step, value = tf.Variable(0, dtype=tf.int64), tf.Variable(0.0)
  checkpoints = manager(saved, step, value)
  with monkeypatch.context() as patch:
    patch.setattr(manifest, "sha256_of", denied)
    assert begun(checkpoints).endswith("ckpt-6")
    step.assign(9)
    value.assign(4.5 + other)
    checkpoints.save(checkpoint_number=9)
    assert checkpoints.settle().endswith("ckpt-6")
  assert set(os.listdir(saved)) == names
  step, value = tf.Variable(0, dtype=tf.int64), tf.Variable(0.0)
  assert begun(manager(saved, step, value)).endswith(f"ckpt-{newest}")
  assert (step.numpy(), value.numpy()) == (newest, newest / 2)


def test_a_save_that_is_killed_in_its_place_leaves_what_it_replaces(saved):
  """Nothing of a checkpoint goes before the files of the next one are there."""
  step, value = tf.Variable(0, dtype=tf.int64), tf.Variable(0.0)
  checkpoints = manager(saved, step, value)
  begun(checkpoints)
  checkpoints._newest = str(saved / "ckpt-6")  # As where 9 was passed over.

  class Killed(BaseException):
    pass

  def die(*_, **__):
    raise Killed

  checkpoints.checkpoint.write = checkpoints.checkpoint._write = die
  with pytest.raises(Killed):
    checkpoints.save(checkpoint_number=9)
  assert manifest.verify(str(saved / "ckpt-9")).step == 9


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_lock_lost_while_writing_is_said_once(tmp_path, asynchronous):
  class Lost(Committer):
    def commit(self, prefix, step, metrics=None):
      raise UserError("taken over")

  step = tf.Variable(1, dtype=tf.int64)
  checkpoints = manager(
    tmp_path,
    step,
    tf.Variable(1.0),
    interval=1,
    async_checkpoint=asynchronous,
    committer=Lost(config={}, versions={}),
  )
  with pytest.raises(UserError, match="taken over"):
    checkpoints.save(checkpoint_number=1)
    checkpoints.settle()
  assert checkpoints.settle() is None


def test_one_that_tensorflow_did_not_list_is_deleted_in_its_turn(saved):
  """A kill may come between the manifest and TensorFlow's list."""
  (saved / "checkpoint").unlink()
  step, value = tf.Variable(0, dtype=tf.int64), tf.Variable(0.0)
  checkpoints = manager(saved, step, value)
  assert begun(checkpoints).endswith("ckpt-9")
  for now in (12, 15):
    step.assign(now)
    checkpoints.save(checkpoint_number=now)
  assert steps(saved) == [12, 15]


def test_without_a_list_what_may_be_kept_for_good_is(saved):
  (saved / "checkpoint").write_bytes(b"\xff")
  step, value = tf.Variable(0, dtype=tf.int64), tf.Variable(0.0)
  checkpoints = manager(saved, step, value, keep_every_n_hours=1e9)
  assert begun(checkpoints).endswith("ckpt-9")
  for now in (12, 15):
    step.assign(now)
    checkpoints.save(checkpoint_number=now)
  assert steps(saved) == [6, 12, 15]


def test_the_list_of_tensorflow_deletes_nothing_elsewhere(saved, tmp_path):
  """It is made anew, with the names of files beside it."""
  victim = tmp_path.parent / f"{tmp_path.name}_victim"
  victim.mkdir()
  for name in ("ckpt-3.index", "ckpt-6.manifest.json", "ckpt-7.index"):
    (victim / name).write_text("precious")
  listed = "".join(
    f'all_model_checkpoint_paths: "{victim}/ckpt-{step}"\n'
    f'all_model_checkpoint_paths: "../{victim.name}/ckpt-{step}"\n'
    for step in (3, 6, 7, 9)
  )
  (saved / "checkpoint").write_text(
    f'model_checkpoint_path: "{victim}/ckpt-7"\n{listed}'
  )
  step, value = tf.Variable(0, dtype=tf.int64), tf.Variable(0.0)
  checkpoints = manager(saved, step, value)
  assert begun(checkpoints).endswith("ckpt-9")
  for now in (12, 15):
    step.assign(now)
    checkpoints.save(checkpoint_number=now)
  assert len(os.listdir(victim)) == 3
  assert steps(saved) == [12, 15]
  state = tf.train.get_checkpoint_state(str(saved))
  assert state.all_model_checkpoint_paths == [
    f"{saved}/ckpt-{x}" for x in (12, 15)
  ]


def test_who_may_not_write_any_more_writes_nothing(tmp_path):
  lock = Lock(str(tmp_path))
  lock.acquire()
  (tmp_path / "lock.json").write_text('{"token": "another"}')
  checkpoints = manager(
    tmp_path / "checkpoints",
    tf.Variable(1, dtype=tf.int64),
    tf.Variable(1.0),
    interval=1,
    committer=Committer(config={}, versions={}, lock=lock),
  )
  with pytest.raises(UserError, match="taken over by another job"):
    checkpoints.save(checkpoint_number=1)
  lock.release()
  assert os.listdir(tmp_path) == ["lock.json"]


@pytest.mark.parametrize(
  ("steps_a_minute", "saves"), [(1, [10, 20, 30, 36]), (4, [36])]
)
def test_long_epochs_have_checkpoints_within(tmp_path, steps_a_minute, saves):
  """Of an epoch of 36 steps, without a setting: by the clock, and its end."""
  now, made = [0.0], []
  step = tf.Variable(0, dtype=tf.int64)
  checkpoints = manager(
    tmp_path, step, tf.Variable(1.0), interval=36, clock=lambda: now[0]
  )
  for number in range(1, 37):
    now[0] = number / steps_a_minute * 60.0
    step.assign(number)
    if checkpoints.save(checkpoint_number=number):
      made.append(number)
  assert made == saves


def test_saves_by_minutes_and_keeps_some_for_good(tmp_path):
  now = [0.0]
  step = tf.Variable(0, dtype=tf.int64)
  checkpoints = manager(
    tmp_path,
    step,
    tf.Variable(1.0),
    interval=1000,
    checkpoint_minutes=2.0,
    clock=lambda: now[0],
  )
  saves = []
  for minute in range(1, 8):
    now[0] = minute * 60.0
    step.assign(minute)
    if checkpoints.save(checkpoint_number=minute):
      saves.append(minute)
  assert saves == [2, 4, 6]
  assert steps(tmp_path) == [4, 6]
  hourly = tmp_path / "hourly"
  checkpoints = manager(
    hourly, step, tf.Variable(1.0), interval=1, keep_every_n_hours=1e-9
  )
  for number in range(10, 15):
    step.assign(number)
    checkpoints.save(checkpoint_number=number)
  assert steps(hourly) == [10, 11, 12, 13, 14]


def test_counts_that_were_saved_as_int32_are_read(tmp_path):
  """Runs had them so before a GPU was to hold them."""

  def checkpoint(dtype, value):
    module = tf.Module()
    module.count = tf.Variable(value, dtype=dtype)
    module.share = tf.Variable(float(value))
    return tf.train.Checkpoint(guard=module)

  path = checkpoint(tf.int32, 7).save(str(tmp_path / "old"))
  found = checkpoint(tf.int64, 1)
  restore(found, path)
  module = found.guard
  assert (module.count.numpy(), module.share.numpy()) == (7, 7.0)
  path = found.save(str(tmp_path / "new"))
  module.count.assign(0)
  restore(found, path)
  assert (module.count.dtype, module.count.numpy()) == (tf.int64, 7)
