"""launch.predict labels pairs and splits, and names what is no pair."""

import csv
import functools
import json
import shutil

import numpy as np
import pytest

from engine.measure import per_example as examples
from launch.trained.api import load
from tests.support.doors import TINY, enter
from tests.support.testing import REFERENCE_PAIRS


def test_predict_labels_each_pair_in_order(trained, tmp_path):
  model_dir, _ = trained
  tsv = "".join(f"{a}\t{b}\n" for a, b in REFERENCE_PAIRS)
  ended = enter(
    tmp_path, "launch.predict", f"--model_dir={model_dir}", stdin=tsv
  )
  assert ended.status == 0, ended.err
  rows = [line.split("\t") for line in ended.out.splitlines()]
  assert [tuple(row[-2:]) for row in rows] == list(REFERENCE_PAIRS)
  for label, *shares, _, _ in rows:
    table = {k: float(v) for k, v in (x.split("=") for x in shares)}
    assert sum(table.values()) == pytest.approx(1, abs=2e-4)
    assert table[label] == max(table.values())

  source, target = tmp_path / "pairs.jsonl", tmp_path / "labels.jsonl"
  source.write_text(
    "".join(
      json.dumps({"text_a": a, "text_b": b}) + "\n" for a, b in REFERENCE_PAIRS
    )
  )
  ended = enter(
    tmp_path,
    "launch.predict",
    f"--model_dir={model_dir}",
    f"--input={source}",
    f"--output={target}",
    "--batch_size=3",
    "--checkpoint=best",  # Here the newest is the best.
  )
  assert ended.status == 0, ended.err
  lines = [json.loads(line) for line in target.read_text().splitlines()]
  assert [x["label"] for x in lines] == [row[0] for row in rows]


def test_a_table_and_a_program_get_what_the_lines_say(trained, tmp_path):
  model_dir, _ = trained
  source, target = tmp_path / "new.csv", tmp_path / "out.csv"
  with open(source, "w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["id", "sentence1", "sentence2"])
    writer.writerows((i, *x) for i, x in enumerate(REFERENCE_PAIRS))
  ask = functools.partial(
    enter,
    tmp_path,
    "launch.predict",
    f"--model_dir={model_dir}",
    f"--input={source}",
    f"--output={target}",
  )
  ended = ask()
  assert (ended.status, ended.out) == (0, ""), ended.err
  with open(target) as file:
    rows = [*csv.DictReader(file)]
  assert [row["id"] for row in rows] == [
    str(i) for i in range(len(REFERENCE_PAIRS))
  ]
  said = load(str(model_dir)).predict(REFERENCE_PAIRS, batch_size=3)
  for row, each in zip(rows, said, strict=True):
    assert row["label"] == each["label"]
    for name, share in each["probabilities"].items():
      assert float(row[f"probabilities.{name}"]) == pytest.approx(
        share, abs=1e-4
      )
  ended = ask()
  assert (ended.status, ended.out) == (2, "")
  assert "exists: remove it, or name another" in ended.err
  ended = ask("--params_override=task.dropout=0")
  assert ended.status == 2
  assert "There is no flag --params_override" in ended.err


def test_predict_labels_a_split_for_its_leaderboard(trained, tmp_path):
  model_dir, _ = trained
  ask = functools.partial(
    enter, tmp_path, "launch.predict", f"--model_dir={model_dir}"
  )
  ended = ask("--split=dev", f"--output={tmp_path}")
  assert (ended.status, ended.out) == (0, ""), ended.err
  header, *lines = (tmp_path / "dev.tsv").read_text().splitlines()
  assert header == "index\tprediction"
  says = dict(line.split("\t") for line in lines)
  assert list(says) == [str(i) for i in range(len(lines))]
  table = examples.read(model_dir, "dev")
  called = ("different", "paraphrase")
  expected = [called[i] for i in table["outputs"].argmax(-1)]
  assert list(says.values()) == expected
  ended = ask("--split=train,dev")
  assert (ended.status, ended.out) == (2, "")
  assert "must be a directory" in ended.err
  taken = tmp_path / "taken" / "dev.tsv"
  taken.mkdir(parents=True)
  for flags in (
    (f"--output={taken}",),
    ("--split=dev", f"--output={tmp_path}/taken"),
  ):
    ended = ask(*flags, stdin="a\tb\n")
    assert (ended.status, ended.out) == (2, "")
    assert f"{taken} is a directory: name a file in it." in ended.err
  ended = ask("--split=dev", "--input=x.tsv")
  assert (ended.status, ended.out) == (2, "")
  assert "`input` is given beside a split" in ended.err


@pytest.mark.parametrize(
  ("flags", "fault"),
  [
    (["--output={}/x.csv.gz"], "x.csv.gz would be text, and no .gz: name it"),
    (["--output={}/X.XLSX"], "would be text, and no .xlsx"),
    (["--output={}/old.txt"], "old.txt exists: remove it, or name another."),
    (
      ["--split=dev", "--output={}/old.txt"],
      "old.txt exists: remove it, or name another.",
    ),
    (["--split=dev", "--text_a=a"], "`text_a` is given beside a split"),
    (["--text_a=foo"], "for the sentences of the run (foo and text_b): say"),
  ],
)
def test_what_predict_refuses_leaves_all_as_it_was(
  trained, tmp_path, flags, fault
):
  old = tmp_path / "old.txt"
  old.write_text("mine\n")
  ended = enter(
    tmp_path,
    "launch.predict",
    f"--model_dir={trained[0]}",
    *[flag.format(tmp_path) for flag in flags],
    stdin="a\tb\n",
  )
  assert (ended.status, ended.out) == (2, "")
  assert fault in ended.err and ended.err.count("\n") == 1
  assert old.read_text() == "mine\n"
  assert {x.name for x in tmp_path.iterdir()} <= {
    "old.txt",
    "door.in",
    "door.out",
    "door.err",
  }


def test_columns_may_be_named_and_what_a_killed_one_left_goes(
  trained, tmp_path
):
  source, target = tmp_path / "x.csv", tmp_path / "out.txt"
  source.write_text("id,left,right\n7,A dog.,A cat.\n")
  left = tmp_path / ".out.txt.4194304.1.part"  # No process has that number.
  left.write_text("")
  ended = enter(
    tmp_path,
    "launch.predict",
    f"--model_dir={trained[0]}",
    f"--input={source}",
    f"--output={target}",
    "--text_a=left",
    "--text_b=right",
  )
  assert ended.status == 0, ended.err
  (row,) = csv.DictReader(target.read_text().splitlines())
  assert (row["id"], row["left"], row["right"]) == ("7", "A dog.", "A cat.")
  assert not left.exists()


def test_a_run_knows_its_columns_and_asks_where_moved_files_are(tmp_path):
  table = [[str(i), f"w {i} a dog", f"w {i % 7} b"] for i in range(40)]
  lines = [
    "\t".join([*row, "no" if i % 2 else "yes"]) for i, row in enumerate(table)
  ]
  old, new = tmp_path / "train.tsv", tmp_path / "moved.tsv"
  old.write_text("\n".join(["id\tleft\tright\tverdict", *lines]) + "\n")
  run, target = f"--model_dir={tmp_path}/run", tmp_path / "out.csv"
  columns = ("--text_a=left", "--text_b=right", "--label=verdict")
  flags = (run, f"--train_file={old}", *columns, *TINY[1:])
  ended = enter(tmp_path, "launch.train", "--task=pairs", *flags)
  assert ended.status == 0, ended.err
  old.rename(new)
  ask = functools.partial(enter, tmp_path, "launch.predict", run)
  labels = []
  for header, told in ((True, ()), (False, ("--columns=id,left,right",))):
    text = "".join("\t".join(row) + "\n" for row in table)
    source = tmp_path / "new.tsv"
    source.write_text("id\tleft\tright\n" * header + text)
    if told:
      ended = ask(f"--input={source}", f"--output={target}")
      assert ended.status == 2 and "in a header or by --columns" in ended.err
    ended = ask(f"--input={source}", f"--output={target}", *told)
    assert ended.status == 0, ended.err
    with open(target) as file:
      rows = [*csv.DictReader(file)]
    assert [[row[x] for x in ("id", "left", "right")] for row in rows] == table
    labels.append([row["label"] for row in rows])
    target.unlink()
  assert labels[0] == labels[1]
  out = tmp_path / "dev.tsv"
  ended = ask("--split=dev", f"--output={out}")
  assert ended.status == 2
  assert f"`train_file` {old} finds no file" in ended.err
  ended = ask("--split=dev", f"--train_file={new}", f"--output={out}")
  assert ended.status == 0, ended.err
  assert len(out.read_text().splitlines()) == 1 + 4
  ended = ask(f"--eval_file={new}")
  assert ended.status == 0, ended.err
  assert len(ended.out.splitlines()) == 1 + 40


def test_columns_that_a_run_has_guessed_are_its_columns(tmp_path):
  path = tmp_path / "train.csv"
  rows = [f"w {i},v {i % 7},{'no' if i % 2 else 'yes'}" for i in range(40)]
  path.write_text("\n".join(["premise,hypothesis,gold", *rows]) + "\n")
  run, target = f"--model_dir={tmp_path}/run", tmp_path / "out.csv"
  ended = enter(
    tmp_path, "launch.train", "--task=pairs", run, f"--train_file={path}",
    *TINY[1:],
  )  # fmt: skip
  assert ended.status == 0, ended.err
  source = tmp_path / "new.csv"
  # Two more have usual names.
  source.write_text("question,premise,s2,hypothesis\nq,w 1,s,v 1\n")
  ask = functools.partial(enter, tmp_path, "launch.predict", run)
  ended = ask(f"--input={source}", f"--output={target}")
  assert ended.status == 0, ended.err
  with open(target) as file:
    (row,) = csv.DictReader(file)
  assert (row["question"], row["s2"]) == ("q", "s")
  (alone,) = load(f"{tmp_path}/run").predict([("w 1", "v 1")])
  assert row["label"] == alone["label"]
  for name, share in alone["probabilities"].items():
    assert float(row[f"probabilities.{name}"]) == pytest.approx(share, abs=1e-4)
  # Others are found by their usual names, as before.
  source.write_text("sentence1,sentence2\nw 1,v 1\n")
  ended = ask(f"--input={source}", "--output=-")
  assert ended.status == 0, ended.err


@pytest.mark.parametrize(
  ("stdin", "complaint"),
  [
    ("only one\n", "standard input, line 1: 1 column(s)"),
    ("a\tb\na\t\n", "line 2: the second sentence is empty"),
    (b"a\tb\n\xc3\x28\tb\n", "line 2: byte 0xc3 is not UTF-8"),
    ('{"text_a": "x"}\n', "has the columns ['text_a'], but none for the"),
    ("", "has no pair"),
  ],
)
def test_predict_names_the_line_that_is_no_pair(
  trained, tmp_path, stdin, complaint
):
  model_dir, _ = trained
  output = tmp_path / "labels.tsv"
  ended = enter(
    tmp_path,
    "launch.predict",
    f"--model_dir={model_dir}",
    f"--output={output}",
    stdin=stdin,
  )
  assert ended.status == 2, ended.err
  assert complaint in ended.err
  assert not output.exists()


def test_predict_without_a_run(tmp_path):
  ended = enter(
    tmp_path, "launch.predict", f"--model_dir={tmp_path}", stdin="a\tb\n"
  )
  assert ended.status == 2
  assert "holds no run" in ended.err


def test_predict_averages_orders_and_runs_and_takes_the_temperature(
  trained, tmp_path
):
  """The same run twice says what it says once; logits are divided."""
  model_dir = shutil.copytree(trained[0], tmp_path / "run")
  ask = functools.partial(enter, tmp_path, "launch.predict")
  run = f"--model_dir={model_dir}"
  calibrated = enter(
    tmp_path, "launch.train", *TINY, run, "--calibrate=dev", "--quiet"
  )
  assert calibrated.status == 0, calibrated.err
  kept = json.loads((model_dir / "calibration.json").read_text())
  tsv = "".join(f"{a}\t{b}\n" for a, b in REFERENCE_PAIRS)

  def shares(*arguments):
    ended = ask(run, *arguments, stdin=tsv)
    assert ended.status == 0, ended.err
    cells = [line.split("\t")[1:3] for line in ended.out.splitlines()]
    return np.array([[float(x.split("=")[1]) for x in row] for row in cells])

  model = load(str(model_dir))

  def said(pairs):
    found = model.predict(pairs)
    return np.array([list(x["probabilities"].values()) for x in found])

  alone = said(REFERENCE_PAIRS)
  both = (alone + said([(b, a) for a, b in REFERENCE_PAIRS])) / 2
  np.testing.assert_allclose(shares("--symmetric"), both, atol=2e-4)
  odds = [np.log(x[:, 1] / x[:, 0]) for x in (alone, shares("--calibrated"))]
  np.testing.assert_allclose(odds[1], odds[0] / kept["temperature"], atol=2e-3)
  ended = ask(run, run, "--split=dev", f"--output={tmp_path}")
  assert ended.status == 0, ended.err
  accuracy = json.loads((model_dir / "result.json").read_text())["eval"]
  assert f"accuracy {accuracy['accuracy']:.4f} [" in ended.err
  assert "] of 236" in ended.err
