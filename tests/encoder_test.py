"""The encoder computes what BERT's other implementations compute."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from official.nlp.modeling import networks

from engine.task import EXAMPLES, LABELS, WEIGHTS, columns
from tasks import encoders, weights
from tasks.config import SentencePairConfig
from tasks.encoder import Encoder
from tests.testing import (
  REFERENCE,
  REFERENCE_PAIRS,
  needs_demo_encoder,
  pairs_of,
  tiny_task,
)


def features_of(task, pairs):
  source = task.pair_source(pairs)
  indices = np.arange(len(pairs))
  layout = source.layout(indices, batch_size=len(pairs), shares=1)
  batch = source.batch(indices, layout)
  return columns(batch, (LABELS, WEIGHTS, EXAMPLES))


@needs_demo_encoder
@pytest.mark.parametrize("batching", ["pad", "bucket", "pack"])
def test_demo_encoder_equals_the_original_implementation(batching):
  """Reference: transformers 5.23.0 with PyTorch 2.13.0, float32."""
  from tasks.sentence_pair import SentencePairTask

  task = SentencePairTask(SentencePairConfig(encoder="demo", batching=batching))
  model = task.build_model()
  task.initialize(model, seed=0)
  reference = np.load(REFERENCE)
  features, _, _, examples = features_of(task, pairs_of(REFERENCE_PAIRS))
  sequence, pooled = model.encoder(features)
  for row, slot in np.argwhere(examples >= 0):
    i = examples[row, slot]
    ids = reference[f"ids_{i}"]
    start = features["first_tokens"][row, slot]
    place = row, slice(start, start + len(ids))
    np.testing.assert_array_equal(features["word_ids"][place], ids)
    np.testing.assert_array_equal(
      features["type_ids"][place], reference[f"types_{i}"]
    )
    np.testing.assert_allclose(
      sequence.numpy()[place], reference[f"sequence_{i}"], atol=1e-5
    )
    np.testing.assert_allclose(
      pooled.numpy()[row, slot], reference[f"pooled_{i}"][:], atol=2e-6
    )


def test_equals_model_gardens_encoder_on_its_own_checkpoint(tmp_path):
  config = encoders.find("tiny").config
  garden = networks.BertEncoder(
    vocab_size=config.vocab_size,
    hidden_size=config.hidden_size,
    num_layers=config.num_hidden_layers,
    num_attention_heads=config.num_attention_heads,
    intermediate_size=config.intermediate_size,
    # Model Garden's own "gelu" is the approximation.
    activation=lambda x: tf.nn.gelu(x, approximate=False),
    max_sequence_length=config.max_position_embeddings,
    type_vocab_size=2,
    initializer=tf_keras.initializers.TruncatedNormal(stddev=0.3),
    return_all_encoder_outputs=False,
  )
  path = tf.train.Checkpoint(encoder=garden).write(str(tmp_path / "ckpt"))
  task = tiny_task(batching="pad", max_seq_length=64)
  features, _, _, examples = features_of(task, pairs_of(REFERENCE_PAIRS))
  encoder = Encoder(config, dropout=0.0)
  encoder(features)
  weights.restore_encoder(encoder, path)
  sequence, pooled = encoder(features)
  expected = garden(
    {
      "input_word_ids": features["word_ids"],
      "input_mask": (features["segments"] > 0).astype(np.int32),
      "input_type_ids": features["type_ids"],
    }
  )
  real = features["segments"] > 0
  np.testing.assert_allclose(
    sequence.numpy()[real],
    expected[0].numpy()[real],
    atol=1e-5,
  )
  np.testing.assert_allclose(
    pooled.numpy()[:, 0], expected[1].numpy(), atol=1e-5
  )
  assert np.ptp(expected[1].numpy()) > 0.1  # Not all alike.
