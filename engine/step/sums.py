"""Sums of gradients over all replicas."""

import tensorflow as tf

Values = tf.Tensor | tf.IndexedSlices


def sum_gradients(
  replica: tf.distribute.ReplicaContext,
  gradients: list[tf.Tensor | tf.IndexedSlices],
  shapes: list[tf.TensorShape],
  pack_bytes: int = 0,
) -> list[tf.Tensor | tf.IndexedSlices]:
  """Sums gradients over all replicas; few rows of a table by gathering them.

  Args:
    replica: this one's context.
    gradients: of equal shapes on all replicas.
    shapes: of the variables.
    pack_bytes: of what goes in one all-reduce; 0: all at once.

  Returns:
    The gradients, equal on all replicas: dense, or rows as `merged` has them.
  """
  total = list(gradients)
  for i, gradient in enumerate(gradients):
    if isinstance(gradient, tf.IndexedSlices):
      size = gradient.values.shape.num_elements()  # None: not static.
      few = size and size * replica.num_replicas_in_sync
      if few and few < shapes[i].num_elements():
        values, indices = replica.all_gather(
          (gradient.values, gradient.indices), axis=0
        )
        rows = gradient.values.shape[0] * replica.num_replicas_in_sync
        values.set_shape([rows, *shapes[i][1:]])  # Gathering forgets it.
        total[i] = merged(values, indices, shapes[i])
  rest = [i for i, value in enumerate(total) if value is gradients[i]]
  sums = replica.all_reduce(
    "SUM",
    [tf.convert_to_tensor(gradients[i]) for i in rest],
    tf.distribute.experimental.CommunicationOptions(bytes_per_pack=pack_bytes),
  )
  for i, value in zip(rest, sums, strict=True):
    total[i] = value
  return total


def packed(terms: list[tf.Tensor], pack_bytes: int) -> list[tf.Tensor]:
  """Puts float32 terms behind each other, in few arrays.

  Args:
    terms: of static shapes.
    pack_bytes: that end an array; 0: all terms are one.

  Returns:
    Arrays [numbers].
  """
  flat = [tf.reshape(term, [-1]) for term in terms]
  return [
    tf.concat([flat[i] for i in places], 0)
    for places in _places([term.shape for term in terms], pack_bytes)
  ]


def unpacked(
  packs: list[tf.Tensor], shapes: list[tf.TensorShape], pack_bytes: int
) -> list[tf.Tensor]:
  """Returns the terms, of these shapes, that `packed` was given."""
  terms = []
  for pack, places in zip(packs, _places(shapes, pack_bytes), strict=True):
    sizes = [shapes[i].num_elements() for i in places]
    parts = tf.split(pack, sizes)
    terms += [
      tf.reshape(part, shapes[i]) for part, i in zip(parts, places, strict=True)
    ]
  return terms


def _places(shapes: list[tf.TensorShape], pack_bytes: int) -> list[list[int]]:
  """Which terms are in which pack; the last one may be small."""
  found: list[list[int]] = [[]]
  size = 0
  for i, shape in enumerate(shapes):
    if pack_bytes and size >= pack_bytes:
      found.append([])
      size = 0
    found[-1].append(i)
    size += shape.num_elements() * tf.float32.size
  return found


def merged(
  values: tf.Tensor, indices: tf.Tensor, shape: tf.TensorShape
) -> tf.IndexedSlices:
  """Adds up rows of equal indices, with static shapes.

  Args:
    values: [rows, ...].
    indices: int [rows], where they belong in the table.
    shape: of the table.

  Returns:
    As many rows. The first of each index has the sum, the others are 0: so the
    squares of all rows are those of the table.
  """
  rows = tf.range(tf.shape(indices)[0])
  first = tf.math.unsorted_segment_min(rows, indices, shape[0])
  sums = tf.math.unsorted_segment_sum(
    values, tf.gather(first, indices), values.shape[0]
  )
  return tf.IndexedSlices(sums, indices, tf.constant(shape.as_list()))
