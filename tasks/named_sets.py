"""The named data sets: what they are called, what their labels mean.

Each is read from local files of its official layout, where `data_dir` has them,
else through TFDS. Imports no TensorFlow.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

_ENTAILS = ("entailment", "not_entailment")
_NLI = ("entailment", "neutral", "contradiction")
_GLUE = {"train": "train.tsv", "dev": "dev.tsv", "test": "test.tsv"}
_TFDS = {"train": "train", "dev": "validation", "test": "test"}


@dataclasses.dataclass(frozen=True)
class Board:
  """The form in which a leaderboard wants predictions; GLUE's, by default.

  Attributes:
    files: our name of a split -> name of the file.
    ids: column of the official file that names a pair; "": 0, 1, 2, ...
    columns: of the file: the id, and what is predicted of the pair.
    says: the classes, as they are written; none: by their names.
    limits: of scores, the least and the greatest.
  """

  files: Mapping[str, str] = dataclasses.field(default_factory=dict)
  ids: str = ""
  columns: Sequence[str] = ("index", "prediction")
  says: Sequence[str] = ()
  limits: tuple[float, float] = (-math.inf, math.inf)


@dataclasses.dataclass(frozen=True)
class NamedSet:
  """A published data set.

  Attributes:
    tfds: its name there; "" for the project's own.
    columns: of the two sentences and the label, in TFDS.
    classes: names of the classes, in the order of TFDS's labels; none where
      labels are scores.
    splits: our name of a split -> TFDS's.
    files: our name of a split -> file name of the official layout; several
      names of one file have commas between.
    file_columns: of the official files.
    dev: splits to evaluate, where the user says nothing else.
    unlabelled: what official files have where annotators disagree.
    board: the form in which its leaderboard wants predictions.
  """

  tfds: str
  columns: tuple[str, str, str] = ("sentence1", "sentence2", "label")
  classes: Sequence[str] = ()
  splits: Mapping[str, str] = dataclasses.field(default_factory=lambda: _TFDS)
  files: Mapping[str, str] = dataclasses.field(default_factory=lambda: _GLUE)
  file_columns: tuple[str, str, str] = ("sentence1", "sentence2", "label")
  dev: str = "dev"
  unlabelled: str | None = None
  board: Board = Board()


_SICK = NamedSet(
  "",
  ("sentence_A", "sentence_B", "entailment_label"),
  ("ENTAILMENT", "NEUTRAL", "CONTRADICTION"),
  files={
    "train": "SICK_train.txt",
    "dev": "SICK_trial.txt",
    "test": "SICK_test_annotated.txt",
  },
  file_columns=("sentence_A", "sentence_B", "entailment_judgment"),
  # SemEval-2014's own evaluation reads it; NA: not predicted.
  board=Board(
    {"test": "SICK_test.txt"},
    ids="pair_ID",
    columns=("pair_ID", "entailment_judgment", "relatedness_score"),
    limits=(1.0, 5.0),
  ),
)

NAMED_SETS: Mapping[str, NamedSet] = {
  "mrpc": NamedSet(
    "glue/mrpc",
    classes=("not_equivalent", "equivalent"),
    file_columns=("#1 String", "#2 String", "Quality"),
    board=Board({"test": "MRPC.tsv"}, says=("0", "1")),
  ),
  "rte": NamedSet(
    "glue/rte", classes=_ENTAILS, board=Board({"test": "RTE.tsv"})
  ),
  "qnli": NamedSet(
    "glue/qnli",
    ("question", "sentence", "label"),
    _ENTAILS,
    file_columns=("question", "sentence", "label"),
    board=Board({"test": "QNLI.tsv"}),
  ),
  "wnli": NamedSet(
    "glue/wnli",
    classes=_ENTAILS[::-1],
    board=Board({"test": "WNLI.tsv"}, says=("0", "1")),
  ),
  "qqp": NamedSet(
    "glue/qqp",
    ("question1", "question2", "label"),
    ("not_duplicate", "duplicate"),
    file_columns=("question1", "question2", "is_duplicate"),
    board=Board({"test": "QQP.tsv"}, says=("0", "1")),
  ),
  "mnli": NamedSet(
    "glue/mnli",
    ("premise", "hypothesis", "label"),
    _NLI,
    splits={
      "train": "train",
      "dev_matched": "validation_matched",
      "dev_mismatched": "validation_mismatched",
      "test_matched": "test_matched",
      "test_mismatched": "test_mismatched",
    },
    files={
      "train": "train.tsv",
      "dev_matched": "dev_matched.tsv",
      "dev_mismatched": "dev_mismatched.tsv",
      "test_matched": "test_matched.tsv",
      "test_mismatched": "test_mismatched.tsv",
    },
    file_columns=("sentence1", "sentence2", "gold_label"),
    dev="dev_matched,dev_mismatched",
    unlabelled="-",
    board=Board(
      {"test_matched": "MNLI-m.tsv", "test_mismatched": "MNLI-mm.tsv"}
    ),
  ),
  "snli": NamedSet(
    "snli",
    ("premise", "hypothesis", "label"),
    _NLI,
    files={
      "train": "snli_1.0_train.jsonl",
      "dev": "snli_1.0_dev.jsonl",
      "test": "snli_1.0_test.jsonl",
    },
    file_columns=("sentence1", "sentence2", "gold_label"),
    unlabelled="-",
  ),
  "paws": NamedSet("paws_wiki", classes=("different", "paraphrase")),
  "stsb": NamedSet(
    "glue/stsb",
    file_columns=("sentence1", "sentence2", "score"),
    board=Board({"test": "STS-B.tsv"}, limits=(0.0, 5.0)),
  ),
  "sick": _SICK,
  "sickr": dataclasses.replace(
    _SICK,
    columns=("sentence_A", "sentence_B", "relatedness_score"),
    classes=(),
    file_columns=("sentence_A", "sentence_B", "relatedness_score"),
  ),
}
