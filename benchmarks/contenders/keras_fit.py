"""Keras `fit`, as TensorFlow's tutorial 'Fine-tuning a BERT model' does it.

float32, each pair in a row of 128 tokens, Model Garden's classifier and its
AdamW with warm-up and linear decay.
"""

from benchmarks.contenders import plan as plans
from benchmarks.contenders.garden import checkpoint, encoder_config
from benchmarks.contenders.given import Split
from benchmarks.contenders.plan import BATCH_SIZE, Clock, Plan, Run, answer


def build(plan: Plan):
  """Builds the classifier, with the weights of the encoder."""
  import tensorflow as tf
  from official.nlp.configs import encoders
  from official.nlp.modeling import models

  encoder = encoders.build_encoder(encoder_config(plan))
  status = tf.train.Checkpoint(encoder=encoder).read(checkpoint(plan))
  status.assert_existing_objects_matched()
  return models.BertClassifier(
    network=encoder, num_classes=2, dropout_rate=plans.DROPOUT
  )


def run(plan: Plan) -> Run:
  """Trains; evaluates after each part, which Keras calls an epoch."""
  import tensorflow as tf
  import tf_keras
  from official.nlp import optimization

  tf_keras.utils.set_random_seed(plan.seed)
  model = build(plan)
  model.compile(
    optimizer=optimization.create_optimizer(
      plan.learning_rate, plan.steps, plan.warm_up_steps
    ),
    loss=tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=[tf_keras.metrics.SparseCategoricalAccuracy("accuracy")],
  )

  def dataset(name):
    split = Split.read(plan.splits, name)
    arrays = split.padded()
    return tf.data.Dataset.from_tensor_slices(
      (
        {
          "input_word_ids": arrays["ids"],
          "input_mask": arrays["mask"],
          "input_type_ids": arrays["types"],
        },
        split.labels,
      )
    )

  clock = Clock(plan.steps_per_window)

  class Timing(tf_keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
      clock.step()

  train = dataset("train")
  train = train.shuffle(len(train), seed=plan.seed).repeat().batch(BATCH_SIZE)
  dev = dataset("dev").batch(BATCH_SIZE) if plan.evaluations else None
  history = model.fit(
    train,
    epochs=max(1, plan.evaluations),
    steps_per_epoch=plan.steps_per_evaluation,
    validation_data=dev,
    callbacks=[Timing()],
    verbose=0,
  ).history
  found = history.get("val_accuracy")
  return Run(clock.windows, float(found[-1]) if found else None)


if __name__ == "__main__":
  answer(run)
