"""A model as nested boxes, top down in the order of its layers."""

import dataclasses
import math
from typing import Any

import tensorflow as tf

from launch.pages.pictures import DARK, LIGHT, new_figure


@dataclasses.dataclass(frozen=True)
class Box:
  """A layer.

  Attributes:
    name: of the layer.
    shapes: of all its variables, in their order.
    own: a word for each variable that no inner layer holds.
    inner: the layers inside.
    times: how many such layers follow each other.
  """

  name: str
  shapes: tuple[tuple[int, ...], ...]
  own: tuple[str, ...]
  inner: tuple["Box", ...]
  times: int = 1

  @property
  def weights(self) -> int:
    """Numbers in all variables."""
    return self.times * sum(map(math.prod, self.shapes))

  @property
  def height(self) -> float:
    """Lines that the box takes."""
    if not self.inner:
      return 1.0
    return sum(x.height for x in self.inner) + 1.2 + 0.9 * bool(self.own)


def draw_model(model: tf.Module) -> Any:
  """Draws the layers of a model that hold variables, as a matplotlib figure.

  Equal ones in a row are drawn once, with their number.
  """
  box = box_of(model)
  figure = new_figure(figsize=(6.4, 0.31 * box.height + 0.4))
  axis = figure.subplots()
  _draw(axis, box, left=0.0, top=0.0, right=1.0)
  axis.set(xlim=(-0.01, 1.01), ylim=(box.height + 0.1, -0.1))
  axis.axis("off")
  return figure


def box_of(module: tf.Module) -> Box:
  """Finds the layers of a module, each of which holds variables."""
  layers: list[tf.Module] = []
  for value in vars(module).values():
    for part in value if isinstance(value, list | tuple) else [value]:
      known = any(part is layer for layer in layers)
      if isinstance(part, tf.Module) and part.variables and not known:
        layers.append(part)
  inner = {id(v) for layer in layers for v in layer.variables}
  merged: list[Box] = []
  for box in map(box_of, layers):
    last = merged[-1] if merged else None
    if last and last.inner and _alike(last) == _alike(box):
      merged[-1] = dataclasses.replace(last, times=last.times + 1)
    else:
      merged.append(box)
  return Box(
    name=module.name,
    shapes=tuple(tuple(v.shape) for v in module.variables),
    own=tuple(
      f"{v.name.split(':')[0].rsplit('/', 1)[-1]} {list(v.shape)}"
      for v in module.variables
      if id(v) not in inner
    ),
    inner=tuple(merged),
  )


def _alike(box: Box) -> Any:
  return box.shapes, [(x.name, x.times) for x in box.inner]


def _draw(
  axis: Any, box: Box, *, left: float, top: float, right: float
) -> None:
  from matplotlib.patches import FancyBboxPatch

  axis.add_patch(
    FancyBboxPatch(
      (left, top + 0.06),
      right - left,
      box.height - 0.12,
      boxstyle="round,pad=0,rounding_size=0.012",
      mutation_aspect=20,
      facecolor="white" if box.inner else LIGHT,
      edgecolor=DARK,
      linewidth=0.8,
    )
  )
  write = lambda x, y, text, **style: axis.text(
    x, y, text, va="center", fontsize=7.5, **style
  )
  name = f"{box.name}  x {box.times}" if box.times > 1 else box.name
  note = f"{box.weights:,} weights" if box.inner else "  ".join(box.own)
  weight = "bold" if box.inner else "normal"
  write(left + 0.015, top + 0.5, name, weight=weight)
  write(right - 0.015, top + 0.5, note, ha="right", color="0.3")
  top += 1.0
  if box.inner and box.own:
    write(left + 0.03, top + 0.35, "  ".join(box.own), color="0.3")
    top += 0.9
  for inner in box.inner:
    _draw(axis, inner, left=left + 0.025, top=top, right=right - 0.025)
    top += inner.height
