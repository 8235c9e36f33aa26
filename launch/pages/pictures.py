"""Pictures of what goes into a run: arrays, lengths, schedule, packing.

Each function returns a matplotlib figure; `save` writes one. The tutorial shows
them, `launch.inspect` writes them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.errors import UserError
from engine.files import whole
from engine.task import Layout

DARK, LIGHT, GREY = "#1f6f8b", "#9fc3d1", "#e8e8e8"


def new_figure(**kwargs) -> Any:
  """A figure without a screen.

  Raises:
    UserError: where matplotlib is missing.
  """
  try:
    # Imported here: a run needs no pictures.
    from matplotlib.figure import Figure
  except ImportError as error:
    raise UserError(
      "matplotlib draws the pictures and is not installed: run `pip install "
      "matplotlib`."
    ) from error
  return Figure(layout="constrained", **kwargs)


def save(figure: Any, path: str) -> str:
  """Writes a figure as PNG, whole or not at all; returns the path."""
  with whole(path) as part:
    figure.savefig(part, format="png", dpi=150)
  return path


def draw_arrays(arrays: Mapping[str, np.ndarray]) -> Any:
  """Draws arrays of a split beside each other.

  Args:
    arrays: name -> int [pairs, tokens], as `EncodedPairs.dense` gives them.
  """
  figure = new_figure(figsize=(3.6 * len(arrays), 4))
  axes = figure.subplots(1, len(arrays), sharey=True, squeeze=False)[0]
  for axis, (name, array) in zip(axes, arrays.items(), strict=True):
    axis.pcolormesh(array, cmap="viridis", rasterized=True)
    axis.set_title(f"{name}\n{array.shape[0]:,} x {array.shape[1]}", fontsize=9)
    axis.set_xlabel("token")
    axis.invert_yaxis()
  axes[0].set_ylabel("pair")
  return figure


def draw_lengths(lengths: np.ndarray, *, limit: int, title: str) -> Any:
  """Draws how long pairs are.

  Args:
    lengths: int [pairs], tokens of each, cut to `limit`.
    limit: the most that a row holds.
    title: names the split.
  """
  figure = new_figure(figsize=(7, 3.4))
  axis = figure.subplots()
  longest = int(lengths.max())
  axis.hist(
    lengths, bins=range(0, longest + 3, max(1, longest // 60)), color=DARK
  )
  axis.axvline(lengths.mean(), color="0.2", linestyle="--", linewidth=1)
  axis.set_title(
    f"{title}: {len(lengths):,} pairs, {lengths.mean():.1f} tokens on average "
    f"(dashed), {longest} at most, {np.mean(lengths == limit):.1%} of {limit}",
    fontsize=9,
    loc="left",
  )
  axis.set(xlabel="tokens of a pair, [CLS] and [SEP] included", ylabel="pairs")
  axis.spines[["top", "right"]].set_visible(False)
  return figure


def draw_schedule(
  rates: Sequence[float], *, epoch_ends: Sequence[int], title: str
) -> Any:
  """Draws a schedule.

  Args:
    rates: the learning rate of each step.
    epoch_ends: steps after which a run evaluates.
    title: names the schedule.
  """
  figure = new_figure(figsize=(7, 3.2))
  axis = figure.subplots()
  axis.plot(rates, color=DARK)
  for end in epoch_ends:
    axis.axvline(end, color="0.8", linewidth=1, zorder=0)
  axis.set_title(f"{title} (lines: ends of epochs)", fontsize=9, loc="left")
  axis.set(xlabel="step", ylabel="learning rate", ylim=(0, None))
  axis.xaxis.get_major_locator().set_params(integer=True)
  axis.spines[["top", "right"]].set_visible(False)
  return figure


def draw_packing(
  panels: Mapping[str, tuple[np.ndarray, Layout]],
) -> Any:
  """Draws the rows of one batch, laid out in several ways.

  Args:
    panels: way -> int segments of its rows [shares, rows, width] (0: nothing,
      else which pair of the share) and the layout.
  """
  from matplotlib.colors import ListedColormap

  sizes = [
    segments.shape[0] * segments.shape[1] for segments, _ in panels.values()
  ]
  widest = max(segments.shape[-1] for segments, _ in panels.values())
  figure = new_figure(figsize=(8, 0.6 * len(panels) + 0.11 * sum(sizes) + 0.8))
  axes = figure.subplots(
    len(panels), 1, sharex=True, squeeze=False, height_ratios=sizes
  )[:, 0]
  colours = ListedColormap([GREY, DARK, LIGHT, "#d98c3f", "#7a9e5f", "#a05c7b"])
  for axis, (way, (segments, layout)) in zip(axes, panels.items(), strict=True):
    rows = segments.reshape(-1, segments.shape[-1])
    axis.pcolormesh(
      np.where(rows, 1 + (rows - 1) % 5, 0),
      cmap=colours,
      vmin=0,
      vmax=5,
      edgecolors="none",
      rasterized=True,
    )
    # A line where a pair ends: neighbours may have one colour.
    row, column = np.nonzero(np.diff(rows, axis=1))
    axis.vlines(column + 1, row, row + 1, color="white", linewidth=1)
    axis.yaxis.get_major_locator().set_params(integer=True)
    axis.set_title(
      f"{way}: {len(rows)} rows of {rows.shape[1]} for attention; all else on "
      f"{layout.capacity:,} tokens, {1 - layout.units / layout.capacity:.1%} "
      "padding",
      fontsize=9,
      loc="left",
    )
    axis.invert_yaxis()
    axis.set(xlim=(0, widest), ylabel="row")
    axis.spines[["top", "right"]].set_visible(False)
  axes[-1].set_xlabel("token (each colour a pair, grey: nothing)")
  return figure
