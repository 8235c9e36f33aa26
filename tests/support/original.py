"""Stores what Transformers computes of the small encoders of each family.

    python -m tests.support.original    # in an environment with the extra peers

Tests hold ours to it (`tests/support/families.py`).
"""

import inspect
import json
import os
import tempfile

import numpy as np
import safetensors.numpy
import tokenizers
import torch
import transformers
from tokenizers import (
  decoders,
  models,
  normalizers,
  pre_tokenizers,
  processors,
  trainers,
)

from tasks.tokens.tokenizer import truncate
from tests.support.families import (
  FAMILIES,
  LENGTH,
  STORED,
  texts_of_many,
  value_of,
  write_tokenizer,
)
from tests.support.testing import REFERENCE_PAIRS, ROOT


def make_tokenizers() -> None:
  """Trains and stores the tokenizers that are no WordPiece."""
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
    encoded = _encoded(tokenizer, pairs)
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


def _encoded(tokenizer, pairs):
  """Pairs as Transformers encodes them, cut as the original BERT cuts them.

  Of two sentences that are equally long Transformers cuts the first.
  """
  library = tokenizer.backend_tokenizer
  special = library.num_special_tokens_to_add(is_pair=True)
  found = []
  for texts in pairs:
    a, b = (library.encode(x, add_special_tokens=False) for x in texts)
    keeps = truncate(len(a), len(b), LENGTH - special)
    for part, keep in zip((a, b), keeps, strict=True):
      part.truncate(keep)
    found.append(library.post_process(a, b))
  rows = {
    "input_ids": [x.ids for x in found],
    "attention_mask": [x.attention_mask for x in found],
    "token_type_ids": [x.type_ids for x in found],
  }
  fill = {"input_ids": tokenizer.pad_token_id}
  return {
    name: torch.tensor(
      [row + [fill.get(name, 0)] * (LENGTH - len(row)) for row in each]
    )
    for name, each in rows.items()
    if name in tokenizer.model_input_names
  }


def _has(model, path):
  try:
    return bool(model.get_submodule(path))
  except AttributeError:
    return False


if __name__ == "__main__":
  make_tokenizers()
  for each in FAMILIES:
    compute(each)
