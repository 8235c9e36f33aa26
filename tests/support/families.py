"""Small random encoders of each family, and what Transformers computes of them.

    python -m tests.support.families    # in an environment with the extra peers

writes `tests/testdata/families/`: of each family its config, the names and
shapes of its weights, and outputs and gradients for pairs. Weights follow from
their names, so that no file has them.
"""

import inspect
import json
import os
import zlib

import numpy as np
import safetensors.numpy

from tasks.encoders import find as encoders
from tasks.wordpiece.spec import WordPiece
from tests.support.testing import REFERENCE_PAIRS, ROOT

STORED = os.path.join(ROOT, "tests", "testdata", "families")
LENGTH = 64  # Tokens of a row.
MANY = 64  # Pairs of mixed lengths.
TWO_ENDS = {"cls": "<s>", "sep": "</s>", "pad": "<pad>", "unknown": "[UNK]"}

_SIZES = {
  "hidden_size": 16,
  "num_hidden_layers": 2,
  "num_attention_heads": 2,
  "intermediate_size": 24,
  "max_position_embeddings": 130,
}
# Class of the config -> what it is built of; and the tokenizer.
FAMILIES = {
  "distilbert": (
    "wordpiece",
    {
      "dim": 16,
      "n_layers": 2,
      "n_heads": 2,
      "hidden_dim": 24,
      "max_position_embeddings": 128,
      "activation": "relu",
    },
  ),
  "electra": ("wordpiece", {**_SIZES, "embedding_size": 8}),
  "roberta": ("bpe", {**_SIZES, "type_vocab_size": 1}),
  "xlm-roberta": (
    "unigram",
    {**_SIZES, "type_vocab_size": 1, "hidden_act": "gelu_new"},
  ),
  "camembert": ("unigram", {**_SIZES, "type_vocab_size": 1}),
  "mpnet": ("mpnet", {**_SIZES, "layer_norm_eps": 1e-5}),
  "modernbert": (
    "bpe_bert",
    {
      **_SIZES,
      "num_hidden_layers": 3,
      "local_attention": 8,
      "classifier_pooling": "mean",
    },
  ),
  "modernbert-cls": (
    "bpe_bert",
    {
      **_SIZES,
      "num_hidden_layers": 3,
      "local_attention": 8,
      "attention_bias": True,
      "mlp_bias": True,
      "norm_bias": True,
      "classifier_bias": True,
    },
  ),
}


def value_of(name: str, shape: tuple[int, ...]) -> np.ndarray:
  """The value of a weight: it follows from its name."""
  drawn = np.random.RandomState(zlib.crc32(name.encode())).normal(size=shape)
  is_scale = len(shape) == 1 and name.endswith("weight")
  return (is_scale + drawn / 4).astype(np.float32)


def stored(name: str) -> dict[str, np.ndarray]:
  """What is known of a family's encoder."""
  with np.load(os.path.join(STORED, f"{name}.npz")) as file:
    return dict(file)


def texts_of_many() -> list[tuple[str, str]]:
  """Pairs of mixed lengths, of the demo's corpus and cut from it."""
  path = os.path.join(ROOT, "tasks", "data", "pairs.tsv")
  with open(path, encoding="utf-8") as file:
    rows = [line.rstrip("\n").split("\t") for line in file][1 : MANY + 1]
  pairs = [tuple([x for x in row if " " in x][:2]) for row in rows]
  return [
    (" ".join(a.split()[: 1 + i % 13]), b) for i, (a, b) in enumerate(pairs)
  ]


def write(name: str, path: str) -> str:
  """Writes the directory of a family's encoder; returns its path."""
  known = stored(name)
  os.makedirs(path, exist_ok=True)
  with open(os.path.join(path, "config.json"), "w") as file:
    file.write(str(known["config"]))
  shapes = json.loads(str(known["shapes"]))
  safetensors.numpy.save_file(
    {key: value_of(key, tuple(shape)) for key, shape in shapes.items()},
    os.path.join(path, "model.safetensors"),
  )
  write_tokenizer(FAMILIES[name][0], path)
  return path


def write_tokenizer(kind: str, path: str) -> None:
  """Writes a small tokenizer of some kind."""
  wordpiece = encoders.find("tiny").tokenizer
  if kind == "wordpiece":
    wordpiece.write(path)
  elif kind == "mpnet":
    names = {"[PAD]": "<pad>", "[CLS]": "<s>", "[SEP]": "</s>"}
    pieces = [names.get(piece, piece) for piece in wordpiece.pieces]
    WordPiece(
      (*pieces, "<mask>"), lowercase=True, ends=2, mask="<mask>", **TWO_ENDS
    ).write(path)
  else:
    with open(os.path.join(STORED, f"{kind}.json"), encoding="utf-8") as file:
      spelt = file.read()
    with open(os.path.join(path, "tokenizer.json"), "w") as file:
      file.write(spelt)
    cls, sep, pad = ("[CLS]", "[SEP]", "[PAD]")
    if kind != "bpe_bert":
      cls, sep, pad = "<s>", "</s>", "<pad>"
    with open(os.path.join(path, "tokenizer_config.json"), "w") as file:
      json.dump(
        {
          "tokenizer_class": "PreTrainedTokenizerFast",
          "cls_token": cls,
          "sep_token": sep,
          "pad_token": pad,
        },
        file,
      )


def make_tokenizers() -> None:
  """Trains and stores the tokenizers that are no WordPiece."""
  import tokenizers
  from tokenizers import (
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
  )

  with open(os.path.join(ROOT, "tasks", "data", "pairs.tsv")) as file:
    corpus = file.read().split("\n")
  for kind in ("bpe", "bpe_bert", "unigram"):
    path = os.path.join(STORED, f"{kind}.json")
    if os.path.exists(path):  # No two trainings of Unigram are the same.
      continue
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    if kind == "bpe_bert":
      special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    if kind == "unigram":
      made = tokenizers.Tokenizer(models.Unigram())
      made.normalizer = normalizers.NFKC()
      made.pre_tokenizer = pre_tokenizers.Metaspace()
      made.decoder = decoders.Metaspace()
      trainer = trainers.UnigramTrainer(
        vocab_size=400, special_tokens=special, unk_token="<unk>"
      )
    else:
      made = tokenizers.Tokenizer(models.BPE())
      made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
      made.decoder = decoders.ByteLevel()
      trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
      )
    made.train_from_iterator(corpus, trainer)
    begin, end = special[2:4] if kind == "bpe_bert" else ("<s>", "</s>")
    ids = [(x, made.token_to_id(x)) for x in (begin, end)]
    if kind == "bpe":
      made.post_processor = processors.RobertaProcessing(
        ids[1], ids[0], trim_offsets=True, add_prefix_space=False
      )
    else:
      between = "[SEP] $B:1 [SEP]:1"
      if kind == "unigram":
        between = "</s> </s> $B </s>"
      made.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A {end}",
        pair=f"{begin} $A {between}",
        special_tokens=ids,
      )
    made.save(path, pretty=False)


def compute(name: str) -> None:
  """Stores what Transformers computes of a family's encoder."""
  import tempfile

  import torch
  import transformers

  kind, sizes = FAMILIES[name]
  with tempfile.TemporaryDirectory() as folder:
    write_tokenizer(kind, folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    config = transformers.AutoConfig.for_model(
      name.removesuffix("-cls"),
      vocab_size=len(tokenizer),
      pad_token_id=tokenizer.pad_token_id,
      **sizes,
    )
    make = transformers.AutoModelForSequenceClassification
    model = make.from_config(config, attn_implementation="eager").eval()
    model.save_pretrained(folder)
    with open(os.path.join(folder, "config.json")) as file:
      text = file.read()
    written = safetensors.numpy.load_file(f"{folder}/model.safetensors")
  shapes = {key: list(array.shape) for key, array in written.items()}
  parameters = dict(model.named_parameters())
  for key, parameter in parameters.items():
    parameter.data = torch.tensor(value_of(key, tuple(parameter.shape)))
  read = next(
    x for x in ("classifier.out_proj", "classifier") if _has(model, x)
  )
  pooled = []
  model.get_submodule(read).register_forward_pre_hook(
    lambda _, inputs: pooled.append(inputs[0])
  )

  def run(pairs):
    encoded = tokenizer(
      [a for a, _ in pairs],
      [b for _, b in pairs],
      truncation="longest_first",
      max_length=LENGTH,
      padding="max_length",
      return_tensors="pt",
    )
    names = inspect.signature(model.forward).parameters
    given = {k: v for k, v in encoded.items() if k in names}
    model(**given)
    sequence = model.base_model(**given).last_hidden_state
    mask = encoded["attention_mask"]
    return encoded["input_ids"] * mask, sequence * mask[..., None], pooled[-1]

  ids, sequence, out = run(REFERENCE_PAIRS)
  (out * torch.cos(torch.arange(out.shape[-1]))).sum().backward()
  many_ids, _, many = run(texts_of_many())
  array = lambda x: x.detach().numpy()
  np.savez_compressed(
    os.path.join(STORED, f"{name}.npz"),
    config=np.array(text),
    shapes=np.array(json.dumps(shapes)),
    ids=array(ids).astype(np.int32),
    sequence=array(sequence),
    pooled=array(out),
    many_ids=array(many_ids).astype(np.int32),
    many_pooled=array(many),
    **{
      f"gradient/{key}": array(parameter.grad)
      for key, parameter in parameters.items()
      if parameter.grad is not None
    },
  )


def _has(model, path):
  try:
    return bool(model.get_submodule(path))
  except AttributeError:
    return False


if __name__ == "__main__":
  make_tokenizers()
  for each in FAMILIES:
    compute(each)
