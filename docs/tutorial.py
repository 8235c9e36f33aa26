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
import os
import subprocess
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # Errors and warnings.
ROOT = os.path.abspath("." if os.path.isdir("tasks") else "..")
sys.path.insert(0, ROOT)

import numpy as np
import tensorflow as tf

from engine.config import ExperimentConfig, OptimizerConfig, TrainConfig
from engine.errors import UserError
from engine.run.experiment import Experiment
from launch.pages.views import views
from launch.trained.api import load
from tasks.config import SentencePairConfig
from tasks.sentence_pair import SentencePairTask

tf.get_logger().setLevel("ERROR")
ENCODER = os.environ.get("ENCODER", "demo")
WORK = os.environ.get("WORK") or tempfile.mkdtemp()

# %% [markdown]
# ## 1. The data
#
# One object has all settings of a run: what is learned, how long, how. MRPC
# comes from TensorFlow Datasets. Where it is neither prepared nor to be
# fetched, the project's own corpus takes its place, and the shapes below are
# those of that.

# %%
config = ExperimentConfig(
  task=SentencePairConfig(name="mrpc", encoder=ENCODER),
  optimizer=OptimizerConfig(learning_rate=1e-4),
  train=TrainConfig(
    epochs=3,
    train_steps=int(os.environ.get("TRAIN_STEPS", "0")),  # 0: the epochs.
    precision=os.environ.get("PRECISION", "float32"),
  ),
)
try:
  task = SentencePairTask(config.task)
  train = task.source("train")
except UserError as error:
  print(error)
  corpus = dataclasses.replace(config.task, name="demo")
  config = dataclasses.replace(config, task=corpus)
  task = SentencePairTask(config.task)
  train = task.source("train")
dev = task.source("dev")
print(
  f"{config.task.name}: {len(train):,} pairs to train, {len(dev)} to evaluate"
)
print("classes:", dict(enumerate(task.classes)))

# %%
first = np.array([0])
print(*train.describe(first), task.classes[train.labels(first)[0]], sep="\n")

# %% [markdown]
# ## 2. The tokenizer
#
# WordPiece with the vocabulary of the encoder.

# %%
vocabulary = task.tokenizer.vocabulary
pieces = task.tokenize("Hello TensorFlow!")
print("vocabulary:", len(vocabulary))
print(pieces, [vocabulary[piece] for piece in pieces])
print({x: vocabulary[x] for x in ("[CLS]", "[SEP]")})

# %% [markdown]
# ## 3. Pairs as numbers
#
# `[CLS] a [SEP] b [SEP]`: the ids, a mask of what is real, and the type, which
# says to which sentence a token belongs. Dark is 0: most of such an array is
# padding.

# %%
for key, array in train.encoded.pick(np.arange(len(train))).dense().items():
  print(f"{key:16}", array.shape)
drawn = dict(views(config, "train", WORK))  # As `python -m launch.inspect`.


def show(name):
  """Shows a picture: in a notebook below its cell, else by its path."""
  if "ipykernel" in sys.modules:
    from IPython.display import Image, display

    display(Image(os.path.join(WORK, f"{name}.png"), width=760))
  print(drawn[name])


show("arrays")
show("lengths")

# %% [markdown]
# Training does not pad: it lays pairs out one after the other in a stream, in
# few declared shapes (`tasks/tokens/packing.py`). For attention alone several
# pairs share a row.

# %%
show("packing")

# %% [markdown]
# ## 4. The model
#
# An encoder, and a head that classifies. Until it is initialized, the head is
# zero, and so are the logits of ten pairs.

# %%
model = task.build_model()
show("model")
layout = train.layout(np.arange(10), batch_size=10, shares=1)
ten = train.batch(np.arange(10), layout)
print(model(ten)[0].numpy())

# %% [markdown]
# ## 5. Pretrained weights
#
# From a checkpoint of Model Garden's layout; other formats are imported into it
# once (`tasks/encoders/bert/family.py`). Every variable gets a value and every
# value is used, or an error names what differs. The head is drawn by the seed.

# %%
task.initialize(model, seed=0)
print(model(ten)[0].numpy())

# %% [markdown]
# ## 6. The optimizer
#
# AdamW with a linear warm-up and a polynomial decay, of which each part can be
# chosen: the end, the power, the warm-up by steps or by share, another decay,
# LAMB, a rate for each layer, clipping, a moving average of the weights.

# %%
from engine.step.optimization import build_schedule

show("schedule")
for chosen in (
  {"schedule": "cosine"},
  {"schedule": "constant", "warmup_steps": 10},
  {"decay_power": 2.0, "end_learning_rate": 1e-5},
):
  other = dataclasses.replace(config.optimizer, **chosen)
  rate = build_schedule(other, train_steps=100)
  print(chosen, [f"{float(rate(step)):.1e}" for step in (0, 50, 99)])

# %% [markdown]
# ## 7. Training
#
# Three epochs, an evaluation after each, checkpoints on the way: the same
# call on the same directory goes on where it was stopped, to the same weights.
# From a shell: `python -m launch.train --task=mrpc --model_dir=RUN`.
# (Its rates below are those of two cores that had other work to do as well.)

# %%
run_dir = os.path.join(WORK, "run")
experiment = Experiment(config=config, task=task, model_dir=run_dir)
result = experiment.run("train_and_eval")
print({name: result["eval"][name] for name in ("loss", "accuracy", "f1")})

# %% [markdown]
# ## 8. Prediction
#
# The classes lie on the last axis of the logits. (The tutorial takes the
# `argmax` over the first one, the pairs, and so prints which pair is the most
# likely one for each class.)

# %%
mine = [
  (
    "The rain in Spain falls mainly on the plain.",
    "It mostly rains on the flat lands of Spain.",
  ),
  ("Look I fine tuned BERT.", "Is it working? This does not match."),
]
trained = load(run_dir, precision="float32")
answers = trained.predict(mine)
for pair, answer in zip(mine, answers, strict=True):
  print(answer["label"], answer["probabilities"], *pair, sep="  ")

# %% [markdown]
# ## 9. Export
#
# A SavedModel whose tokenizer is part of the graph: a server gives it texts.
# Other forms are `hub`, `huggingface` and `tflite`. From a shell:
# `python -m launch.export --model_dir=RUN --export_dir=DIR`.

# %%
exported = os.path.join(WORK, "exported")
print(trained.export(exported))
served = tf.saved_model.load(exported).signatures["raw_text"]
texts_a, texts_b = zip(*mine, strict=True)
said = served(text_a=tf.constant(texts_a), text_b=tf.constant(texts_b))
print(said["label"].numpy(), said["probabilities"].numpy())
shares = [[*answer["probabilities"].values()] for answer in answers]
print("largest difference:", np.abs(said["probabilities"] - shares).max())

# %% [markdown]
# ## 10. A large data set
#
# What is read again and again is encoded once, into TFRecord files with the
# tutorial's features and a `meta_data` file, on all cores or (`--beam`) on
# Apache Beam. A killed one goes on where it was.

# %%
shard_dir = os.path.join(WORK, "shards")
encode = [sys.executable, "-m", "launch.encode", f"--encoder={ENCODER}"]
encode += [f"--task={config.task.name}", f"--output_dir={shard_dir}"]
subprocess.run(encode, cwd=ROOT, check=True, capture_output=True)
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
for split, source in (("train", train), ("dev", dev)):
  digests = [from_files.source(split).digest(), source.digest()]
  print(split, digests, "equal" if digests[0] == digests[1] else "different")

# %% [markdown]
# Keras `fit`, or a pipeline of your own, takes them as a `tf.data.Dataset` of
# the tutorial's features and labels.

# %%
from tasks.tokens.as_dataset import as_dataset

batches = as_dataset(train, batch_size=32, length=128, seed=0)
columns, labels = batches.element_spec
print(len(batches), "batches of", *columns.values(), labels, sep="\n")

# %% [markdown]
# The other way: a finite dataset of your own is the source of a task of your
# own (`docs/write_a_task.md`). It is read once; the order is then the engine's.

# %%
from engine.task import ArraySource

points = tf.random.stateless_normal([512, 8], seed=(0, 1))
signs = tf.cast(tf.reduce_sum(points, axis=1) > 0, tf.int32)
source = ArraySource.of_dataset(
  tf.data.Dataset.from_tensor_slices(({"x": points}, signs))
)
print(len(source), "examples, digest", source.digest())

# %% [markdown]
# ## 11. An encoder from TensorFlow Hub
#
# `--encoder=HANDLE` or the directory of a SavedModel imports the weights of a
# BERT; `hub:` before it runs the SavedModel itself, as a trainable
# `hub.KerasLayer`, one pair a row. Here: the encoder that was just trained, as
# a hub encoder.

# %%
hub_dir = os.path.join(WORK, "hub")
print(trained.export(hub_dir, "hub"))
hub_config = dataclasses.replace(
  config,
  task=dataclasses.replace(
    config.task, encoder=f"hub:{hub_dir}", batching="bucket"
  ),
  train=TrainConfig(train_steps=2, global_batch_size=8),
)
hub_result = Experiment(
  config=hub_config,
  task=SentencePairTask(hub_config.task),
  model_dir=os.path.join(WORK, "hub_run"),
).run("train")
print("steps:", hub_result["global_step"])

# %% [markdown]
# ## 12. By hand
#
# An encoder from a dictionary, its weights, a head: the parts that
# `task.build_model` and `task.initialize` put together.

# %%
import json

from tasks.encoders import find as encoders
from tasks.encoders.bert import weights
from tasks.encoders.bert.config import BertConfig
from tasks.encoders.bert.encoder import BertEncoder
from tasks.model.classifier import PairClassifier

files = encoders.find(ENCODER)
with open(os.path.join(files.directory, "bert_config.json")) as file:
  sizes = BertConfig.from_dict(json.load(file))
encoder = BertEncoder(sizes, dropout=0.1)
if files.checkpoint:
  weights.restore_encoder(encoder, files.checkpoint)
  print("restored from", os.path.basename(files.checkpoint))
classifier = PairClassifier(encoder, classes=2, dropout=0.1)
print(sizes, classifier(ten)[0].numpy().shape, sep="\n")

# %% [markdown]
# Optimizer and schedule by hand: `build_optimizer` and `build_schedule` in
# `engine/step/optimization.py` take an `OptimizerConfig` and the number of
# steps.

# %%
for power in (1.0, 2.0):
  each = build_schedule(OptimizerConfig(decay_power=power), train_steps=100)
  print(power, [float(each(step)) for step in (0, 10, 50, 99)])
