"""A run with damaged files goes on, loses no more than they, and says what."""

import os
import shutil

import pytest

from engine.durability import assets
from engine.durability.run_directory import RunDirectory
from engine.errors import UserError
from engine.lines.reading import read_jsonl
from launch.pages.page import write_page
from tests.support.training import run

LOGS = {"log_example_ids": True}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  """The directory of a run, and what it reported."""
  directory = tmp_path_factory.mktemp("finished") / "run"
  return directory, run(directory, runtime=LOGS)


@pytest.fixture
def again(finished, tmp_path):
  """A copy of it that is to go on: its result is away."""
  copy = shutil.copytree(finished[0], tmp_path / "run")
  (copy / "result.json").unlink()
  return copy


def edit(path, old, new):
  content = path.read_bytes()
  assert old in content
  path.write_bytes(content.replace(old, new, 1))


def test_damaged_lines_cost_no_others_and_the_result_counts_them(
  finished, again, caplog
):
  kept = {}
  for name, damage in [
    ("metrics.jsonl", b"#"),
    ("example_ids.jsonl", b"\xff"),
    ("restarts.jsonl", b"[]\n{"),
  ]:
    kept[name] = read_jsonl(str(again / name))
    edit(again / name, b"{", damage)
  result = run(again, runtime=LOGS)
  assert result["weights_sha256"] == finished[1]["weights_sha256"]
  assert result["lost"] == dict.fromkeys(kept, 1)
  for name in ("metrics.jsonl", "example_ids.jsonl"):
    assert read_jsonl(str(again / name)) == kept[name][1:]
    told = f"{name}: 1 of {len(kept[name])} lines are damaged and left out"
    assert caplog.text.count(told) == 1
    assert (again / f"{name}.damaged").exists()
  assert run(again, runtime=LOGS)["lost"] == result["lost"]  # It stays so.


@pytest.mark.parametrize(
  "content", [b"", b"5", b"\xff", b'{"eval": {"loss": 1.0}}']
)
def test_a_damaged_result_is_made_anew(finished, again, content, caplog):
  (again / "result.json").write_bytes(content)
  result = run(again, runtime=LOGS)
  assert caplog.text.count("result.json is damaged") == 1
  assert result["weights_sha256"] == finished[1]["weights_sha256"]
  assert result["eval"] == finished[1]["eval"]


def test_a_damaged_list_of_tensorflow_is_made_anew(finished, again):
  path = again / "checkpoints" / "checkpoint"
  path.write_bytes(b"\xff" * 100)
  result = run(again, runtime=LOGS)
  assert result["weights_sha256"] == finished[1]["weights_sha256"]


@pytest.mark.parametrize(
  ("name", "content"),
  [
    ("assets/classes.json", b'["paraphrase", "different"]'),
    ("assets/vocab.txt", None),
    ("assets.json", b"{"),
    ("assets.json", b'{"files": {"classes.json": "5"}}'),
  ],
)
def test_damaged_assets_are_made_anew(finished, tmp_path, name, content):
  """By the same command, though it had finished."""
  copy = shutil.copytree(finished[0], tmp_path / "run")
  kept = {x: x.read_bytes() for x in (copy / "assets").iterdir()}
  (copy / name).unlink()
  if content:
    (copy / name).write_bytes(content)
  result = run(copy, runtime=LOGS)
  assert {x: x.read_bytes() for x in (copy / "assets").iterdir()} == kept
  assert assets.check(RunDirectory(str(copy)))
  for fact in ("weights_sha256", "eval"):
    assert result[fact] == finished[1][fact]


def test_what_lies_in_the_place_of_best_weights_is_refused(again):
  taken = again / "best" / "ckpt-99.index"
  taken.symlink_to(os.devnull)
  with pytest.raises(UserError, match=f"{taken} is no regular file.*remove it"):
    run(again, runtime=LOGS)
  assert taken.is_symlink() and not (again / "result.json").exists()


def test_a_run_killed_while_it_wrote_its_assets_begins_anew(finished, tmp_path):
  copy = tmp_path / "run"
  (copy / "assets").mkdir(parents=True)
  for name in ("config.yaml", "assets/bert_config.json"):
    shutil.copy(finished[0] / name, copy / name)
  (copy / "assets/tokenizer_config.json").write_bytes(b"{}")
  (copy / "assets/.vocab.txt.4194305.1.part").write_bytes(b"half")
  result = run(copy, runtime=LOGS)
  assert result["weights_sha256"] == finished[1]["weights_sha256"]
  assert not [*copy.rglob("*.part")]


@pytest.mark.parametrize(
  "put",
  [
    {"assets/added_tokens.json": b"{}"},  # It would stay there.
    {
      "assets.json": b'{"files": {"classes.json": "5"}}',
      "assets/classes.json": b'["paraphrase", "different"]',
    },
  ],
)
def test_assets_that_would_be_others_are_refused(finished, tmp_path, put):
  copy = shutil.copytree(finished[0], tmp_path / "run")
  for name, content in put.items():
    (copy / name).write_bytes(content)
  before = {x: x.read_bytes() for x in copy.rglob("*") if x.is_file()}
  with pytest.raises(UserError, match="since the run wrote its assets: put"):
    run(copy, runtime=LOGS)
  assert {x: x.read_bytes() for x in copy.rglob("*") if x.is_file()} == before


@pytest.mark.parametrize(
  "put", [os.mkfifo, lambda path: os.symlink("/dev/zero", path)]
)
def test_a_pipe_or_a_device_instead_of_an_asset_is_refused(
  finished, tmp_path, put
):
  """Neither waited for nor written to; nothing is gone."""
  copy = shutil.copytree(finished[0], tmp_path / "run")
  (copy / "assets/vocab.txt").unlink()
  put(copy / "assets/vocab.txt")
  before = {x: x.read_bytes() for x in copy.rglob("*") if x.is_file()}
  with pytest.raises(UserError, match=r"vocab\.txt .* since the run wrote"):
    run(copy, runtime=LOGS)
  assert {x: x.read_bytes() for x in copy.rglob("*") if x.is_file()} == before


def test_lost_checkpoints_cost_neither_the_log_nor_the_best_weights(again):
  shutil.rmtree(again / "checkpoints")
  before = {x: x.read_bytes() for x in again.rglob("*") if x.is_file()}
  with pytest.raises(UserError, match="has no finished checkpoint, but"):
    run(again, runtime=LOGS)
  after = {x: x.read_bytes() for x in again.rglob("*") if x.is_file()}
  assert {x: after[x] for x in before} == before


def test_a_page_leaves_out_what_is_damaged_and_says_so(again):
  edit(again / "metrics.jsonl", b"{", b"#")
  (again / "result.json").write_bytes(b"\xff")
  for name in os.listdir(again / "examples"):
    (again / "examples" / name).write_bytes(b"PK")
  left_out = write_page([str(again)], str(again / "report.html"))
  assert any(
    "1 damaged or missing line(s) of metrics.jsonl" in x for x in left_out
  )
  assert any(".npz is damaged" in x for x in left_out)
  page = (again / "report.html").read_text()
  assert page.count("Left out of run:") == len(left_out)
