"""BPE and Unigram give the ids of the package, and refuse what they cannot."""

import json
import os

import pytest
import tokenizers

from engine.errors import UserError
from tasks.tokens.tokenizer import PairTokenizer, truncate
from tasks.wordpiece import stated
from tests.support import families
from tests.support.testing import REFERENCE_PAIRS

ODD = (
  ("", " "),
  ("two  spaces", "a tab\tand\nlines"),
  ("Ｆｕｌｌ width", "é é"),
  ("日本語 text", "🙂 smile"),
  ("<s> and </s>", "[SEP] [CLS] <mask>"),
)


@pytest.fixture(params=["bpe", "bpe_bert", "unigram"])
def directory(request, tmp_path):
  families.write_tokenizer(request.param, str(tmp_path))
  return str(tmp_path)


def changed(directory, **changes):
  path = os.path.join(directory, "tokenizer.json")
  with open(path) as file:
    values = {**json.load(file), **changes}
  with open(path, "w") as file:
    json.dump(values, file)
  return directory


def test_ids_are_those_of_the_package_whatever_the_text(directory):
  """The package's own encoding of pairs, cut by the rule of all tokenizers."""
  mine = PairTokenizer(stated.read(directory))
  made = tokenizers.Tokenizer.from_file(f"{directory}/tokenizer.json")
  made.encode_special_tokens = True
  pairs = [*REFERENCE_PAIRS, *ODD]
  special = made.num_special_tokens_to_add(is_pair=True)
  for most in (16, 41, 512):
    encoded = mine.encode(*zip(*pairs, strict=True), most)
    for i, texts in enumerate(pairs):
      found = encoded.ids[encoded.starts[i] : encoded.starts[i + 1]].tolist()
      a, b = (made.encode(x, add_special_tokens=False) for x in texts)
      keeps = truncate(len(a), len(b), most - special)
      for part, keep in zip((a, b), keeps, strict=True):
        part.truncate(keep)
      assert found == made.post_process(a, b).ids, (most, texts)
  alone = mine.encode([a for a, _ in pairs], None, 16)
  made.enable_truncation(16)
  assert alone.ids.tolist() == [i for a, _ in pairs for i in made.encode(a).ids]


def test_special_pieces_in_a_text_are_plain_text(directory):
  mine = PairTokenizer(stated.read(directory))
  if mine.spec.kind == "Unigram":
    pytest.skip("its special pieces are pieces of its model, there too")
  special = {mine.spec.vocabulary[x] for x in (mine.spec.cls, mine.spec.sep)}
  text = f"{mine.spec.cls} {mine.spec.sep}"
  ids = mine.encode([text], None, 64).ids.tolist()
  assert not special & {*ids[1:-1]}


def test_what_a_run_keeps_is_the_same_tokenizer(directory, tmp_path):
  one = stated.read(directory)
  kept = tmp_path / "kept"
  kept.mkdir()
  paths = one.write(str(kept), model_max_length=99)
  two = stated.read(str(kept))
  assert paths[0] == two.source
  assert (one.key(), one.facts()) == (two.key(), two.facts())
  assert (
    json.loads((kept / "tokenizer_config.json").read_text())["model_max_length"]
    == 99
  )
  stated.check_begun(str(kept), one)
  families.write_tokenizer("wordpiece", str(tmp_path / "kept"))
  os.remove(kept / "tokenizer.json")
  with pytest.raises(UserError, match="begun with another tokenizer"):
    stated.check_begun(str(kept), one)


def test_decoding_shows_both_sentences(directory):
  mine = PairTokenizer(stated.read(directory))
  encoded = mine.encode(["the old bridge"], ["a new one"], 64)
  assert mine.decode(encoded.ids.tolist()) == "the old bridge | a new one"


@pytest.mark.parametrize(
  "changes, complaint",
  [
    ({"post_processor": None}, "no post_processor that says"),
    ({"post_processor": {"type": "Sequence"}}, "is damaged"),
    ({"model": {"type": "BPE", "vocab": {"a": 7000}}}, "ids in .* not 0, 1"),
    ({"model": {"type": "BPE"}}, "is damaged"),
    ({"normalizer": {"type": "None such"}}, "is damaged"),
    ({"added_tokens": 7}, "is damaged"),
  ],
)
def test_a_file_that_is_none_is_refused(directory, changes, complaint):
  with pytest.raises(UserError, match=complaint) as caught:
    stated.read(changed(directory, **changes))
  assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_another_layout_of_a_pair_is_refused(directory):
  made = tokenizers.Tokenizer.from_file(f"{directory}/tokenizer.json")
  begin, end = stated.read(directory).cls, stated.read(directory).sep
  made.post_processor = tokenizers.processors.TemplateProcessing(
    single=f"$A {end}",
    pair=f"$A {end} $B {end} {begin}",
    special_tokens=[(x, made.token_to_id(x)) for x in (begin, end)],
  )
  made.save(f"{directory}/tokenizer.json")
  with pytest.raises(UserError, match="lays a pair out as"):
    stated.read(directory)


def test_case_is_what_the_file_says(directory):
  with pytest.raises(UserError, match="`casing` is 'lower'.*leave out"):
    stated.read(directory).with_casing("lower")
