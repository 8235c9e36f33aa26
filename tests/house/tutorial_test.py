"""The tutorial runs, and the notebook is the script, executed."""

import json
import os
import runpy
import sys

import jupytext
import pytest

from tests.support.testing import ROOT, needs_demo_encoder

SCRIPT = os.path.join(ROOT, "docs", "tutorial.py")
PICTURES = ("arrays", "lengths", "packing", "model", "schedule")
NOTEBOOK = os.path.join(ROOT, "docs", "tutorial.ipynb")


@pytest.mark.slow
@needs_demo_encoder
def test_all_twelve_sections_run(tmp_path, monkeypatch, capsys):
  for name, value in {
    "TRAIN_STEPS": "2",
    "WORK": str(tmp_path),
    "TFDS_DATA_DIR": str(tmp_path / "nothing"),
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "NO_GCE_CHECK": "true",
  }.items():
    monkeypatch.setenv(name, value)
  monkeypatch.setattr(sys, "path", [*sys.path])
  monkeypatch.chdir(ROOT)
  import tensorflow_datasets as tfds

  def unreachable(*args, **kwargs):
    raise ConnectionError("there is no network")

  monkeypatch.setattr(
    tfds.core.DatasetBuilder, "download_and_prepare", unreachable
  )
  runpy.run_path(SCRIPT, run_name="__main__")
  told = capsys.readouterr().out
  assert "['hello', 'tensor', '##flow', '!'] [7592, 23435, 12314, 999]" in told
  assert "{'[CLS]': 101, '[SEP]': 102}" in told
  assert told.count(" equal\n") == 2
  difference = float(told.split("largest difference: ")[1].split()[0])
  assert difference < 1e-5
  pictures = sorted(path.name for path in tmp_path.glob("*.png"))
  assert pictures == sorted(f"{name}.png" for name in PICTURES)
  assert (tmp_path / "exported" / "saved_model.pb").exists()


def test_the_notebook_is_the_script_executed():
  notebook = jupytext.read(NOTEBOOK)
  script = jupytext.read(SCRIPT)
  cells = lambda x: [(cell.cell_type, cell.source) for cell in x.cells]
  assert cells(notebook) == cells(script), "run `make notebook`"
  with open(NOTEBOOK) as file:
    code = [x for x in json.load(file)["cells"] if x["cell_type"] == "code"]
  assert all(cell["execution_count"] for cell in code)
  outputs = [output for cell in code for output in cell["outputs"]]
  assert not [x for x in outputs if x["output_type"] == "error"]
  pictures = [x for x in outputs if "image/png" in x.get("data", {})]
  assert len(pictures) == len(PICTURES)
