"""From files of rows to a file of predictions, in constant memory."""

import hashlib
import itertools
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from engine.errors import UserError, listed
from engine.files import digests_in, is_local, sweep_parts, whole
from engine.measure.result import weights_sha256
from launch.trained.growing import Growing, Progress, naming
from launch.trained.inputs import Input, Row
from launch.trained.outputs import Written, form_of
from launch.trained.predictions import predict_lines, predict_rows
from launch.trained.restored import Restored

STDOUT = "-"
_TEXTS = ("text_a", "text_b")


def predict_file(
  restored: Restored, given: Input, output: str, batch_size: int
) -> None:
  """Writes the predictions of rows.

  A table or JSON lines, by the name of the output, are made of files: a process
  that is killed leaves a part, from which the same command goes on.

  Args:
    restored: a run.
    given: the rows.
    output: of CSV, TSV or JSON lines, by its name; else of lines; or `STDOUT`.
    batch_size: examples in a step.

  Raises:
    UserError: where a row is not as it must be, or the output is not ours.
  """
  form = form_of(output)
  if os.path.isfile(output):
    raise UserError(f"`output` {output} exists: remove it, or name another.")
  if form and is_local(output) and all(map(os.path.isfile, given.paths)):
    _grow(restored, given, output, batch_size)
    return
  written = Written(form)
  lines = predict_lines(restored, given, batch_size, written)
  write_lines(output, lines)
  _tell_left_out(written)


def write_lines(output: str, lines: Iterable[str]) -> None:
  """Writes lines to `STDOUT`, or to a file that was not there.

  Raises:
    UserError: where something has come to be there meanwhile. That stays, and
      the lines are beside it: what somebody has typed is not lost.
  """
  if output == STDOUT:
    for line in lines:
      sys.stdout.write(f"{line}\n")
    return
  if is_local(output):
    sweep_parts(output)
  with naming(output), whole(output, named=True) as part:
    with open(part, "w", encoding="utf-8") as file:
      file.writelines(f"{line}\n" for line in lines)
    if part != output and os.path.lexists(output):
      kept = f"{output}.{os.getpid()}"
      while os.path.lexists(kept):
        kept += "_"
      os.replace(part, kept)
      raise UserError(
        f"{output} has come to be meanwhile: these predictions are in {kept}."
      )


def _grow(
  restored: Restored, given: Input, output: str, batch_size: int
) -> None:
  progress, seen = Progress(given.size), Seen(given)
  with Growing(output, _of(restored, given)) as part:
    rows, read = iter(seen), hashlib.sha256()
    for row in itertools.islice(rows, part.rows):
      read.update(_facts(row))
    if part.rows:
      if read.hexdigest() != part.read:
        raise part.not_ours()
      print(f"{output}: goes on behind {part.rows:,} rows", file=sys.stderr)
      progress.begin(seen.bytes)
    written = Written(form_of(output), part.columns, part.left_out)
    done = waiting = 0
    for said in predict_rows(restored, rows, batch_size, first=part.rows):
      lines = [*written.lines(said)]
      waiting += len(said)
      done += len(said)
      for each in said:
        read.update(_facts(each.row))
      if lines:
        told = written.columns, written.left_out, read.hexdigest()
        part.add(lines, waiting, *told)
        waiting = 0
      progress.tell(done, seen.bytes)
    told = written.columns, written.left_out, read.hexdigest()
    part.add(written.rest(), waiting, *told)
    part.finish()
  progress.end(part.rows, output)
  _tell_left_out(written)


def _tell_left_out(written: Written) -> None:
  """Says which columns of later rows a table has no place for."""
  if written.left_out:
    print(
      f"the first row has no {listed([*written.left_out])}, which later rows "
      "have: left out of the table; --output=x.jsonl keeps them",
      file=sys.stderr,
    )


def _of(restored: Restored, given: Input) -> dict[str, Any]:
  """Returns what computes predictions, and how rows are read."""
  config = given.config
  names = ("columns", "file_format", "quoting", "skip_bad_lines", *_TEXTS)
  runs = (restored, *restored.others)
  return {
    "weights": [weights_sha256(run.model) for run in runs],
    "symmetric": restored.symmetric,
    "assets": [digests_in(run.assets) for run in runs],
    "read": {x: getattr(config, x) for x in names if hasattr(config, x)},
  }


def _facts(row: Row) -> bytes:
  """What a row of the input holds, wherever its file is."""
  line = "" if isinstance(row.line, UserError) else row.line
  return repr((row.form, row.end, line, {**row.fields})).encode()


class Seen:
  """The rows of an input, and the bytes of those that were taken."""

  def __init__(self, given: Input):
    self._given = given
    self.bytes = 0

  def __iter__(self) -> Iterator[Row]:
    before = last = 0
    for row in self._given:
      if row.end < last:  # The next file.
        before += last
      last = row.end
      self.bytes = before + last
      yield row
