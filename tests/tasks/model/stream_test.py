"""What the device makes of a few numbers a pair."""

import numpy as np
import pytest

from engine.task import EXAMPLES
from tasks.config import SentencePairConfig
from tasks.model import stream
from tasks.sentence_pair import SentencePairTask
from tasks.tokens.pair_source import LONGEST
from tests.support.testing import pairs_of

WORDS = ("the", "old", "man", "sat", "on", "a", "wall", "read", "of", "ships")


def source_of(batching, count=23):
  rng = np.random.default_rng(0)
  texts = [
    tuple(" ".join(rng.choice(WORDS, rng.integers(1, 15))) for _ in "ab")
    for _ in range(count)
  ]
  config = SentencePairConfig(
    encoder="tiny", max_seq_length=32, batching=batching
  )
  return SentencePairTask(config).pair_source(pairs_of(texts))


def batch_of(source, shares, size=24):
  indices = np.arange(len(source))[::-1]
  layout = source.layout(indices, batch_size=size, shares=shares)
  return indices, layout, source.batch(indices, layout)


@pytest.mark.parametrize("batching", ["pad", "bucket", "pack"])
@pytest.mark.parametrize("shares", [1, 2, 4])
def test_each_token_and_place_is_said_as_a_loop_over_pairs_would(
  batching, shares
):
  source = source_of(batching)
  indices, layout, batch = batch_of(source, shares)
  found = {k: np.asarray(v) for k, v in stream.expanded(batch).items()}
  _, tokens, rows, width, _ = layout.shape
  expected = {
    "word_ids": np.zeros([shares, tokens], int),
    "type_ids": np.zeros([shares, tokens], int),
    "positions": np.zeros([shares, tokens], int),
    "names": np.full([shares, tokens], -1),
    "segments": np.zeros([shares, rows, width], int),
    "firsts": np.zeros(layout.places.pairs.shape, int),
  }
  for share, slot in np.argwhere(layout.places.pairs >= 0):
    k = layout.places.pairs[share, slot]
    pair = source.encoded.pick(indices[k : k + 1])
    start, row, column = (
      x[share, slot]
      for x in (
        layout.places.starts,
        layout.places.rows,
        layout.places.columns,
      )
    )
    length = len(pair.ids)
    span = share, slice(start, start + length)
    place = np.arange(length)
    expected["word_ids"][span] = pair.ids
    expected["type_ids"][span] = place >= pair.first[0]
    expected["positions"][span] = place
    expected["names"][span] = k * LONGEST + place
    expected["segments"][share, row, column : column + length] = slot + 1
    expected["firsts"][share, slot] = start
    assert batch[EXAMPLES][share, slot] == indices[k]
    # Tokens and places name each other.
    np.testing.assert_array_equal(
      found["rows"][share, row, column : column + length], start + place
    )
    np.testing.assert_array_equal(
      found["slots"][span], row * width + column + place
    )
  for name, array in expected.items():
    np.testing.assert_array_equal(found[name], array, name)
  padding, holes = found["names"] < 0, found["segments"] == 0
  for share in range(shares):
    # What is none names what is none: so its gradient is 0 (see `take`).
    assert padding[share][found["rows"][share][holes[share]]].all()
    flat = holes[share].reshape(-1)
    assert flat[found["slots"][share][padding[share]]].all()
    assert padding[share].any() == holes[share].any()


@pytest.mark.parametrize("batching", ["pad", "pack"])
def test_a_block_of_a_batch_is_that_block_of_the_whole(batching):
  source = source_of(batching)
  indices, layout, whole = batch_of(source, shares=4)
  for first in range(4):
    block = slice(first, first + 2)
    part = source.batch(indices, layout, block)
    assert part.keys() == whole.keys()
    for name, array in whole.items():
      np.testing.assert_array_equal(part[name], array[block], name)


def test_an_empty_batch_has_no_token():
  source = source_of("pack")
  none = np.arange(0)
  layout = source.layout(none, batch_size=4, shares=2)
  found = stream.expanded(source.batch(none, layout))
  assert (np.asarray(found["names"]) == -1).all()
  assert not np.asarray(found["segments"]).any()
