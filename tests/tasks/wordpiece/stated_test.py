"""What an encoder's files say of its tokenizer is done, or refused by name."""

import dataclasses
import json

import pytest
import tokenizers

from engine.errors import UserError
from tasks.config import SentencePairConfig
from tasks.sentence_pair import SentencePairTask
from tasks.tokens.tokenizer import PairTokenizer
from tasks.wordpiece import stated
from tasks.wordpiece.spec import WordPiece

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES = [*SPECIAL, "mochte", "möchte", "er", "Er", "东", "##京", "京", "a"]
LOWER = {"do_lower_case": True}


def write(path, config=None, *, pieces=PIECES, **files):
  """An encoder's files; `files` are JSON, by names without the ending."""
  if pieces:
    (path / "vocab.txt").write_text("".join(f"{x}\n" for x in pieces))
  if config is not None:
    files["tokenizer_config"] = config
  for name, values in files.items():
    (path / f"{name}.json").write_text(json.dumps(values))
  return stated.read(str(path))


def fast_of(pieces=PIECES, *, lowercase=True, **changes):
  """A `tokenizer.json`, as the package `tokenizers` writes it."""
  made = tokenizers.BertWordPieceTokenizer(
    {piece: i for i, piece in enumerate(pieces)}, lowercase=lowercase
  )
  values = json.loads(made._tokenizer.to_str())
  for name, value in changes.items():
    part, _, key = name.partition("__")
    if key:
      values[part][key] = value
    else:
      values[part] = value
  return values


def words(spec, text):
  return PairTokenizer(spec).tokenize(text)


def test_accents_and_chinese_characters_are_as_the_files_say(tmp_path):
  spec = write(tmp_path, {**LOWER, "strip_accents": False})
  assert words(spec, "Er MÖCHTE 东京") == ["er", "möchte", "东", "京"]
  assert words(write(tmp_path, LOWER), "MÖCHTE") == ["mochte"]
  spec = write(tmp_path, {**LOWER, "tokenize_chinese_chars": False})
  assert words(spec, "东京") == ["东", "##京"]
  spec = write(tmp_path, {"do_lower_case": False, "strip_accents": True})
  assert words(spec, "Er möchte") == ["Er", "mochte"]


def test_special_pieces_may_have_other_names(tmp_path):
  pieces = ["<pad>", "<unk>", "<s>", "</s>", "<mask>", "a"]
  names = {
    "pad_token": "<pad>",
    "unk_token": {"content": "<unk>", "lstrip": False},
    "cls_token": "<s>",
    "sep_token": "</s>",
  }
  spec = write(tmp_path, LOWER, pieces=pieces, special_tokens_map=names)
  encoded = PairTokenizer(spec).encode(["a b"], ["<s>"], 20)
  assert encoded.ids.tolist() == [2, 5, 1, 3, 1, 1, 1, 3]
  spec = write(tmp_path, {**LOWER, **names}, pieces=pieces)
  assert spec.cls == "<s>"
  with pytest.raises(UserError, match=r"vocab\.txt lacks \[PAD\], \[UNK\]"):
    (tmp_path / "special_tokens_map.json").unlink()
    write(tmp_path, LOWER, pieces=pieces)


def test_a_tokenizer_json_stands_for_a_vocabulary_and_says_the_rest(tmp_path):
  spec = write(tmp_path, pieces=None, tokenizer=fast_of(lowercase=False))
  assert spec.source.endswith("tokenizer.json")
  assert not spec.guessed and not spec.lowercase
  assert list(spec.pieces) == PIECES
  fast = fast_of(normalizer__strip_accents=False)
  spec = write(tmp_path, pieces=None, tokenizer=fast)
  assert words(spec, "Möchte") == ["möchte"]
  # As in Transformers, tokenizer_config.json decides.
  spec = write(tmp_path, {"do_lower_case": False}, tokenizer=fast)
  assert not spec.lowercase


def test_two_vocabularies_that_differ_are_refused(tmp_path):
  edited = [*PIECES[:-1], "b"]
  with pytest.raises(UserError, match="12 is 'b' and 'a'.*out of date"):
    write(tmp_path, LOWER, pieces=edited, tokenizer=fast_of())
  doubled = [*PIECES, "a"]  # The package takes the last one, too.
  fast = fast_of(doubled)
  assert write(tmp_path, LOWER, pieces=doubled, tokenizer=fast)


@pytest.mark.parametrize(
  "config, message",
  [
    ({"tokenizer_class": "BertJapaneseTokenizer"}, "BertJapaneseTokenizer"),
    ({"tokenizer_class": "RobertaTokenizerFast"}, "RobertaTokenizerFast"),
    ({"tokenizer_class": "PreTrainedTokenizerFast"}, "PreTrained"),
    ({"word_tokenizer_type": "mecab"}, "`word_tokenizer_type`.*'mecab'"),
    ({"subword_tokenizer_type": "character"}, "`subword_tokenizer_type`"),
    ({"do_basic_tokenize": False}, "`do_basic_tokenize`.*False"),
    ({"wordpieces_prefix": "@@"}, "`wordpieces_prefix`.*'@@'"),
    ({"do_lower_case": "no"}, "`do_lower_case`.*'no'.*true or false"),
    ({"strip_accents": 1}, "`strip_accents`.*true or false"),
    ({"cls_token": ["[CLS]"]}, "tokenizer_config.json is damaged"),
    ({"never_split": ["iPhone"]}, "'iPhone'"),
    (
      {"added_tokens_decoder": {"9": {"content": "covid", "special": False}}},
      "'covid' among its added tokens",
    ),
    ({"added_tokens_decoder": [1]}, "is damaged"),
    ([1], "tokenizer_config.json is damaged"),
  ],
)
def test_what_cannot_be_done_is_refused_by_name(tmp_path, config, message):
  with pytest.raises(UserError, match=message) as caught:
    write(tmp_path, config)
  assert str(tmp_path) in str(caught.value)
  assert len(str(caught.value)) < 300 + len(str(tmp_path))


def test_the_class_may_stand_in_the_config_of_the_model(tmp_path):
  model = {"tokenizer_class": "BertJapaneseTokenizer"}
  with pytest.raises(UserError, match="config.json asks for a BertJapanese"):
    (tmp_path / "config.json").write_text(json.dumps(model))
    write(tmp_path)


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"model__type": "BPE"}, "tokenizer.json is damaged"),
    ({"model__type": "WordLevel"}, "model .* is WordLevel, but must be WordP"),
    ({"model__continuing_subword_prefix": "@@"}, "prefix .* is @@"),
    ({"model__max_input_chars_per_word": 50}, "per_word .* is 50"),
    ({"model__vocab": [["a", 0.5]]}, "is damaged"),
    ({"model": {"vocab": {"a": 0}, "merges": []}}, "model .* is None"),
    ({"normalizer__type": "Sequence"}, "normalizer .* is Sequence"),
    ({"normalizer": None}, "normalizer .* is None"),
    ({"normalizer__clean_text": False}, "clean_text .* is False"),
    ({"pre_tokenizer__type": "Whitespace"}, "pre_tokenizer .* is Whitespace"),
    ({"post_processor__type": "ByteLevel"}, "ByteLevel"),
    ({"model": []}, "tokenizer.json is damaged"),
  ],
)
def test_a_tokenizer_json_of_another_kind_is_refused(
  tmp_path, changes, message
):
  with pytest.raises(UserError, match=message):
    write(tmp_path, pieces=None, tokenizer=fast_of(**changes))


def test_another_template_of_a_pair_is_refused(tmp_path):
  made = tokenizers.BertWordPieceTokenizer(
    {piece: i for i, piece in enumerate(PIECES)}
  )
  for pair, ends in (
    ("[CLS] $A [SEP] $B:1 [SEP]:1", 1),
    ("[CLS] $A [SEP] [SEP] $B:1 [SEP]:1", 2),
    ("[CLS] $A [SEP] [SEP] [SEP] $B:1 [SEP]:1", 0),
    ("[CLS] $B [SEP] $A [SEP]", 0),
  ):
    made._tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
      single="[CLS] $A [SEP]",
      pair=pair,
      special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    fast = json.loads(made._tokenizer.to_str())
    if ends:
      spec = write(tmp_path, pieces=None, tokenizer=fast)
      assert (spec.sep, spec.ends) == ("[SEP]", ends)
    else:
      with pytest.raises(UserError, match="post_processor"):
        write(tmp_path, pieces=None, tokenizer=fast)


def test_special_pieces_of_others_are_plain_text_and_that_is_said(tmp_path):
  spec = write(tmp_path, {**LOWER, "additional_special_tokens": ["[E1]"]})
  assert spec.remarks() == [
    "In texts [E1] are plain text, as all special pieces are."
  ]
  assert words(spec, "[E1] a") == ["[UNK]", "[UNK]", "[UNK]", "a"]


def test_a_casing_that_nobody_states_is_said_and_set(tmp_path):
  spec = write(tmp_path, {})
  assert spec.guessed and not spec.lowercase  # `Er` is an ordinary word.
  assert "texts are lower-cased: they are not" in spec.remarks()[0]
  assert "--casing=lower" in spec.remarks()[0]
  lower = spec.with_casing("lower")
  assert lower.lowercase and not lower.remarks()
  assert not write(tmp_path, LOWER).remarks()


@pytest.mark.parametrize(
  "config",
  [LOWER, {}, {"strip_accents": False}, {"tokenize_chinese_chars": False}],
)
def test_what_is_written_is_read_again(tmp_path, config):
  spec = write(tmp_path, config)
  (tmp_path / "copy").mkdir()
  spec.write(str(tmp_path / "copy"))
  again = stated.read(str(tmp_path / "copy"))
  assert again == spec
  assert again.guessed == spec.guessed
  assert again.digest() == spec.digest()


def test_a_run_from_before_answers_as_it_did(tmp_path):
  """Its assets are copies, without a word on what was made of them."""
  (tmp_path / "classes.json").write_text("[]")
  spec = write(tmp_path, pieces=[*SPECIAL, "<S>", "er", "er "])
  assert not spec.lowercase  # `<S>` made it so.
  assert words(spec, "er Er") == ["er", "[UNK]"]
  assert spec.vocabulary["er"] == 6
  japanese = {"tokenizer_class": "BertJapaneseTokenizer", **LOWER}
  assert write(tmp_path, {**japanese, "strip_accents": False}) == WordPiece(
    tuple(PIECES), lowercase=True
  )


def test_a_run_does_not_go_on_with_another_tokenizer(tmp_path):
  assets = tmp_path / "assets"
  assets.mkdir()
  spec = write(tmp_path, LOWER)
  stated.check_begun(str(assets), spec)  # Nothing has begun.
  spec.settled().write(str(assets))
  stated.check_begun(str(assets), spec)
  with pytest.raises(UserError, match="lowercase: True -> .*--casing=lower"):
    stated.check_begun(str(assets), spec.with_casing("keep"))
  other = dataclasses.replace(spec, pieces=(*spec.pieces, "more"))
  with pytest.raises(UserError, match="pieces: 13 and 14"):
    stated.check_begun(str(assets), other)


def test_the_flag_decides_and_the_assets_of_a_run_keep_it(tmp_path):
  task = SentencePairTask(SentencePairConfig(encoder="tiny", casing="keep"))
  assert not task.tokenizer.lowercase
  task.save_assets(str(tmp_path))
  config = SentencePairConfig(encoder=str(tmp_path))
  assert SentencePairTask(config).tokenizer == task.tokenizer
  other = SentencePairTask(SentencePairConfig(encoder="tiny"))
  with pytest.raises(UserError, match="begun with another tokenizer"):
    other.check_assets(str(tmp_path))


def test_a_length_without_a_limit_is_read_as_transformers_writes_it(tmp_path):
  """`VERY_LARGE_INTEGER`, which has more than 64 bits."""
  spec = write(tmp_path, {**LOWER, "model_max_length": int(1e30)})
  assert words(spec, "Er") == ["er"]
