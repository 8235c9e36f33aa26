"""Files that are nobody's business: each campaign watches that they stay."""

import hashlib
import os
import pathlib

# Of each kind of name that a run makes itself, and may delete in its own place.
_NAMES = (
  "x.part",
  ".report.html.1.2.part",
  "ckpt-2.index",
  "ckpt-2.data-00000-of-00001",
  "ckpt-2.manifest.json",
  "ckpt-7.index",
  "ckpt-7.manifest.json",
  "ckpt-7_temp/part-00000-of-00001.index",
  "checkpoint",
  "config.yaml",
  "lock.json",
  "result.json",
  "metrics.jsonl",
  "stop/that.txt",
)
# A user's files in the directory of a run.
_THEIRS = (
  "thesis.part/chapter1.tex",
  "movie.mp4.part",
  "notes.txt",
  "checkpoints/notes.md",
  "checkpoints/mine.part",
  "best/ckpt-best.txt",
)
# Links in a run -> what they lead to.
_LINKS = {
  "x.part": ".",
  ".x.1.2.part": "ckpt-7_temp",
  ".y.3.4.part": "x.part",
  "checkpoints/ckpt-5_temp": ".",
  "checkpoints/ckpt-9.index": "ckpt-7.index",
  "checkpoints/z.part": ".",
  "best/z.part": "x.part",
  "best/ckpt-9.manifest.json": "ckpt-7.manifest.json",
}


class Canaries:
  """Files beside a run, and in it."""

  def __init__(self, place: pathlib.Path):
    """Makes them in a directory that is not there."""
    self.place = place
    self._watched = [place / name for name in _NAMES]
    for path in self._watched:
      _write(path)
    self._before = self._facts()

  def join(self, run: pathlib.Path, *, links: bool) -> None:
    """Adds links to them, or a user's files, to the directory of a run."""
    if links:
      for name, target in _LINKS.items():
        (run / name).symlink_to(self.place / target)
    else:
      for name in _THEIRS:
        _write(run / name)
    self._watched += [run / x for x in (_LINKS if links else _THEIRS)]
    self._before = self._facts()

  def list_as_checkpoints(self, run: pathlib.Path) -> None:
    """Makes TensorFlow's list of a run name checkpoints among the canaries."""
    lines = [f'model_checkpoint_path: "{self.place}/ckpt-7"']
    for step in (2, 7):
      lines.append(f'all_model_checkpoint_paths: "{self.place}/ckpt-{step}"')
      lines.append(f"all_model_checkpoint_timestamps: {step}.0")
    (run / "checkpoints" / "checkpoint").write_text("\n".join(lines) + "\n")

  def link_to(self, path: pathlib.Path) -> None:
    """Moves a file among the canaries, and leaves a link to it."""
    kept = self.place / "linked"
    kept.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(kept)
    self._watched.append(kept)
    self._before = self._facts()

  def touched(self) -> list[str]:
    """Those that are not as they were."""
    now = self._facts()
    return [x for x, fact in self._before.items() if now.get(x) != fact]

  def _facts(self):
    return {str(path): _fact(path) for path in self._watched}


def _write(path):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(f"precious: {path.name}\n")


def _fact(path):
  if path.is_symlink():
    return f"link {os.readlink(path)}"
  try:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"{digest} {path.stat().st_mtime_ns}"
  except OSError as error:
    return error.__class__.__name__
