# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Fine-tuning a BERT model
#
# TensorFlow's tutorial of this name (2020) on today's versions, in its order,
# with Apsis: an encoder is fine-tuned to say whether two sentences mean the
# same (GLUE MRPC), then used, exported and taken apart.
# `docs/from_the_tutorial.md` puts each of its calls beside what replaces it.
#
# From the root of the project: `python docs/tutorial.py`, or open
# `docs/tutorial.ipynb`. `TRAIN_STEPS=20` shortens the training,
# `TFDS_DATA_DIR` names prepared data sets for machines without a network.

# %%
import dataclasses
import io
import json
import os
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # Errors and warnings.
ROOT = os.path.abspath("." if os.path.isdir("tasks") else "..")
sys.path.insert(0, ROOT)

import numpy as np
import tensorflow as tf

from engine.config import (
  EvaluationConfig,
  ExperimentConfig,
  OptimizerConfig,
  RuntimeConfig,
  TrainConfig,
)
from engine.errors import UserError
from engine.loop.epochs import epoch_ends
from engine.run.experiment import Experiment
from engine.step.optimization import build_schedule
from launch.jobs.encoding import Plan
from launch.pages import pictures
from launch.pages.model_picture import draw_model
from launch.trained.predictions import predict
from launch.trained.restored import restore_run
from tasks.config import SentencePairConfig
from tasks.data.datasets import answers_of, read_split
from tasks.data.pairs import Pairs
from tasks.encoders import find as encoders
from tasks.encoders.bert import weights
from tasks.encoders.bert.config import BertConfig
from tasks.encoders.bert.encoder import BertEncoder
from tasks.model.stream import expanded
from tasks.sentence_pair import PairClassifier, SentencePairTask
from tasks.tokens import shards
from tasks.tokens.tokenizer import PairTokenizer

tf.get_logger().setLevel("ERROR")
TRAIN_STEPS = int(os.environ.get("TRAIN_STEPS", "0"))  # 0: three epochs.
ENCODER = os.environ.get("ENCODER", "demo")
PRECISION = os.environ.get("PRECISION", "float32")
WORK = os.environ.get("WORK") or tempfile.mkdtemp()


def show(figure):
  """Shows a picture: in a notebook below its cell, else as a file."""
  if "ipykernel" in sys.modules:
    from IPython.display import Image, display

    image = io.BytesIO()
    figure.savefig(image, format="png")
    display(Image(image.getvalue()))
  else:
    pictures_shown.append(figure)
    path = os.path.join(WORK, f"picture_{len(pictures_shown)}.png")
    print("picture:", pictures.save(figure, path))


pictures_shown = []

# %% [markdown]
# ## 1. The data
#
# MRPC comes from TensorFlow Datasets. Where it is neither prepared nor to be
# fetched, the project's own corpus takes its place, and the shapes below are
# those of that.

# %%
name = "mrpc"
data = SentencePairConfig(name=name)
try:
  train = read_split(data, "train", answers_of(data))
except UserError as error:
  print(error)
  name = "demo"
  data = SentencePairConfig(name=name)
  train = read_split(data, "train", answers_of(data))
dev = read_split(data, "dev", answers_of(data))
classes = answers_of(data).classes
print(f"{name}: {len(train):,} pairs to train on, {len(dev)} to evaluate on")
print("classes:", dict(enumerate(classes)))

# %%
if name == "mrpc":
  import tensorflow_datasets as tfds

  print(tfds.builder("glue/mrpc").info.features)
print(train.texts_a[0], train.texts_b[0], classes[train.labels[0]], sep="\n")

# %% [markdown]
# ## 2. The tokenizer
#
# WordPiece with the vocabulary of the encoder.

# %%
files = encoders.find(ENCODER)
tokenizer = PairTokenizer(files.tokenizer)
pieces = tokenizer.tokenize("Hello TensorFlow!")
print("vocabulary:", len(tokenizer.vocabulary))
print(pieces, [tokenizer.vocabulary[piece] for piece in pieces])
print({x: tokenizer.vocabulary[x] for x in ("[CLS]", "[SEP]")})

# %% [markdown]
# ## 3. Pairs as numbers
#
# `[CLS] a [SEP] b [SEP]`: the ids, a mask of what is real, and the type, which
# says to which sentence a token belongs. Dark is 0: most of such an array is
# padding.

# %%
encoded = tokenizer.encode(train.texts_a, train.texts_b, max_length=128)
arrays = encoded.dense()
for key, array in arrays.items():
  print(f"{key:16}", array.shape)
show(pictures.draw_arrays(arrays))

# %% [markdown]
# Training does not pad: it lays pairs out one after the other in a stream, in
# few declared shapes (`tasks/tokens/packing.py`). For attention alone several
# pairs share a row.

# %%
panels = {}
for batching in ("pad", "pack"):
  task = SentencePairTask(
    SentencePairConfig(name=name, encoder=ENCODER, batching=batching)
  )
  source = task.source("train")
  layout = source.layout(np.arange(32), batch_size=32, shares=1)
  batch = source.batch(np.arange(32), layout)
  panels[batching] = expanded(batch)["segments"].numpy(), layout
show(pictures.draw_packing(panels))

# %% [markdown]
# ## 4. The model
#
# `bert_config.json` says how large the encoder is; the classifier adds a head.

# %%
print(files.config)
model = task.build_model()
show(draw_model(model.encoder))
show(draw_model(model))

# %% [markdown]
# The logits of ten pairs before training: weights are random.

# %%
features = source.batch(
  np.arange(10), source.layout(np.arange(10), batch_size=10, shares=1)
)
print(model(features)[0].numpy())

# %% [markdown]
# ## 5. Pretrained weights
#
# From a checkpoint of Model Garden's layout; other formats are imported into it
# once (`tasks/encoders/bert/family.py`). Every variable gets a value and every
# value is used, or an error names what differs.

# %%
if files.checkpoint:
  weights.restore_encoder(model.encoder, files.checkpoint)
  print("restored from", os.path.basename(files.checkpoint))

# %% [markdown]
# ## 6. The optimizer
#
# AdamW with a linear warm-up and a polynomial decay, of which each part can be
# chosen: the end, the power, the warm-up by steps or by share, another decay,
# LAMB, a rate for each layer, clipping, a moving average of the weights.

# %%
config = ExperimentConfig(
  task=SentencePairConfig(name=name, encoder=ENCODER),
  optimizer=OptimizerConfig(learning_rate=1e-4),
  train=TrainConfig(epochs=3, train_steps=TRAIN_STEPS, precision=PRECISION),
  evaluation=EvaluationConfig(),
  runtime=RuntimeConfig(steps_per_loop=20),
)
ends = epoch_ends(config.train, len(train))


def rates_of(**settings):
  """The learning rate of each step."""
  chosen = dataclasses.replace(config.optimizer, **settings)
  schedule = build_schedule(chosen, train_steps=ends[-1])
  return [float(schedule(step)) for step in range(ends[-1])]


show(pictures.draw_schedule(rates_of(), epoch_ends=ends, title="learning rate"))

# %%
for settings in (
  {"schedule": "cosine"},
  {"schedule": "constant", "warmup_steps": 10},
  {"decay_power": 2.0, "end_learning_rate": 1e-5},
):
  rates = rates_of(**settings)
  print(settings, [f"{rates[i]:.1e}" for i in (0, len(rates) // 2, -1)])

# %% [markdown]
# ## 7. Training
#
# Three epochs, an evaluation after each, checkpoints on the way: the same
# call on the same directory goes on where it was stopped, to the same weights.

# %%
run_dir = os.path.join(WORK, "run")
experiment = Experiment(
  config=config, task=SentencePairTask(config.task), model_dir=run_dir
)
result = experiment.run("train_and_eval")
print(result["eval"])

# %% [markdown]
# ## 8. Prediction
#
# The classes lie on the last axis of the logits. (The tutorial takes the
# `argmax` over the first one, the pairs, and so prints which pair is the most
# likely one for each class.)

# %%
mine = Pairs(
  texts_a=[
    "The rain in Spain falls mainly on the plain.",
    "Look I fine tuned BERT.",
  ],
  texts_b=[
    "It mostly rains on the flat lands of Spain.",
    "Is it working? This does not match.",
  ],
  labels=None,
  ids=range(2),
)
restored = restore_run(run_dir)
names = restored.task.classes
shares = predict(restored, restored.task.pair_source(mine))["probabilities"]
for pair, share in zip(zip(mine.texts_a, mine.texts_b), shares, strict=True):
  print(names[share.argmax()], f"{share.max():.4f}", *pair, sep="  ")

# %% [markdown]
# ## 9. Export
#
# A SavedModel whose tokenizer is part of the graph: a server gives it texts.
# The door is `python -m launch.export --model_dir=RUN --export_dir=DIR`; other
# formats are `hub`, `huggingface` and `tflite`.

# %%
restored = restore_run(run_dir, precision="float32")
exported = os.path.join(WORK, "exported")
print(restored.task.export(restored.model, "saved_model", exported))
served = tf.saved_model.load(exported).signatures["raw_text"]
answer = served(
  text_a=tf.constant(mine.texts_a), text_b=tf.constant(mine.texts_b)
)
print(answer["label"].numpy(), answer["probabilities"].numpy())
# Exports compute in float32, whatever the run was trained in.
shares = predict(restored, restored.task.pair_source(mine))["probabilities"]
print("largest difference:", np.abs(answer["probabilities"] - shares).max())

# %% [markdown]
# ## 10. A large data set
#
# What is read again and again is encoded once, into TFRecord files with the
# tutorial's features and a `meta_data` file. Each file is a function of its
# part of the pairs, so they can be made anywhere: the door is
# `python -m launch.encode --task=mrpc --output_dir=DIR`, on all cores or
# (`--beam`) on Apache Beam. A killed one goes on where it was.

# %%
shard_dir = os.path.join(WORK, "shards")
plan = Plan.make(config.task, ["train", "dev"], size=1024, directory=shard_dir)
plan.claim(shard_dir)
for shard in plan.shards:
  shards.write(shard)
plan.finish(shard_dir)
print(sorted(os.listdir(shard_dir)))

# %% [markdown]
# Training from them (`--train_files='DIR/train-*' --eval_files='DIR/dev-*'`) is
# the same training: the same pairs in the same order, to the same weights.

# %%
from_files = SentencePairTask(
  dataclasses.replace(
    config.task,
    train_file=os.path.join(shard_dir, "train-*"),
    eval_file=os.path.join(shard_dir, "dev-*"),
  )
)
directly = SentencePairTask(config.task)
for split in ("train", "dev"):
  digests = [x.source(split).digest() for x in (from_files, directly)]
  print(split, digests, "equal" if digests[0] == digests[1] else "different")

# %% [markdown]
# ## 11. An encoder from TensorFlow Hub
#
# `--encoder=HANDLE` or the directory of a SavedModel imports the weights of a
# BERT; `hub:` before it runs the SavedModel itself, as a trainable
# `hub.KerasLayer`, one pair a row. Here: the encoder that was just trained, as
# a hub encoder.

# %%
hub_dir = os.path.join(WORK, "hub")
print(restored.task.export(restored.model, "hub", hub_dir))
hub_config = ExperimentConfig(
  task=SentencePairConfig(
    name=name, encoder=f"hub:{hub_dir}", batching="bucket"
  ),
  optimizer=OptimizerConfig(learning_rate=1e-4),
  train=TrainConfig(train_steps=2, global_batch_size=8),
)
hub_task = SentencePairTask(hub_config.task)
hub_result = Experiment(
  config=hub_config, task=hub_task, model_dir=os.path.join(WORK, "hub_run")
).run("train")
print("steps:", hub_result["global_step"])

# %% [markdown]
# ## 12. By hand
#
# An encoder from a dictionary, its weights, a head: the parts that section 4
# put together.

# %%
with open(os.path.join(files.directory, "bert_config.json")) as file:
  sizes = BertConfig.from_dict(json.load(file))
encoder = BertEncoder(sizes, dropout=0.1)
if files.checkpoint:
  weights.restore_encoder(encoder, files.checkpoint)
classifier = PairClassifier(encoder, classes=2, dropout=0.1)
print(classifier(features)[0].numpy().shape)

# %% [markdown]
# Optimizer and schedule by hand: `build_optimizer` and `build_schedule` in
# `engine/step/optimization.py` take an `OptimizerConfig` and the number of
# steps.

# %%
for power in (1.0, 2.0):
  each = build_schedule(OptimizerConfig(decay_power=power), train_steps=100)
  print(power, [float(each(step)) for step in (0, 10, 50, 99)])
