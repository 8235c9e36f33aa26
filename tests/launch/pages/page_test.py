"""The page of a run: whole, small, readable without a network."""

import dataclasses
import html.parser
import re
import shutil
import subprocess

import numpy as np
import pytest

from engine.measure import per_example as examples
from engine.task import ArraySource
from launch.pages.charts import COLOURS, Line, line_chart, stacked_bars
from launch.pages.facts import Run, read_runs
from launch.pages.page import page_of, write_page
from tests.support.finished_runs import write_run


class Checker(html.parser.HTMLParser):
  """Fails where tags do not close, and collects texts and addresses."""

  VOID = ("meta", "link")

  def __init__(self, page):
    super().__init__()
    self.open, self.texts, self.tags = [], [], []
    self.feed(page)
    assert not [tag for tag in self.open if tag not in ("html",)]

  def handle_starttag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))
    if tag not in self.VOID:
      self.open.append(tag)

  def handle_startendtag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    self.texts.append(data)


def run_of(name="one", points=100, splits=None, **result):
  """A finished run with two evaluations."""
  lines = [
    {
      "kind": "train",
      "step": i,
      "loss": 1 / (i + 1),
      "learning_rate": 1e-4,
      "gradient_norm": 2.0,
      "ledger": {"step": float(i), "compile": 3.0},
    }
    for i in range(points)
  ]
  lines += [
    {"kind": "eval", "step": i, "accuracy": 0.5 + i / 1e3, "loss": 0.7}
    for i in (50, 100)
  ]
  return Run(
    name=name,
    config={"train.seed": 0, "task.name": name},
    lines=lines,
    result={"eval": {"accuracy": 0.6}, "global_step": 100, **result},
    splits=splits or {},
    classes=["no & never", "<yes>"],
  )


def table(classes=2, count=40):
  draws = np.random.default_rng(0)
  return {
    "step": np.array(100),
    "labels": draws.integers(max(classes, 2), size=count),
    "outputs": draws.normal(size=[count, classes]),
    "losses": draws.random(count),
    "sizes": draws.integers(5, 90, size=count),
    "worst": np.arange(30),
    "texts": np.array([f"text {i} <b>&" for i in range(30)]),
  }


def test_a_page_needs_nothing_from_elsewhere():
  page = page_of([run_of(splits={"dev": table()})])
  checked = Checker(page)
  for tag, attrs in checked.tags:
    assert tag not in ("script", "link", "img", "iframe")
    assert not {"src", "href"} & set(attrs)
  assert "url(" not in page
  assert not re.search(r"https?:", page)
  assert (
    "meta",
    {"name": "viewport", "content": "width=device-width,initial-scale=1"},
  ) in checked.tags
  told = " ".join(checked.texts)
  for part in (
    "training",
    "Confusion",
    "called <yes>",
    "text 0 <b>&",
    "calibration",
    "accuracy",
    "train.seed",
  ):
    assert part in told, part


# Loads a page in a frame, and says how wide it is.
PROBE = """<body style="margin:0"><iframe id=f style="border:0;width:{width}px">
</iframe><script>f.onload = () => {{
  const page = f.contentDocument.documentElement
  document.title = page.scrollWidth + " " + page.querySelectorAll("svg").length
}}
f.src = "page.html"</script>"""


@pytest.mark.parametrize("width", [360, 1100])
def test_a_browser_shows_all_of_a_page(tmp_path, width):
  browser = shutil.which("chromium") or shutil.which("google-chrome")
  if not browser:
    pytest.skip("no browser is installed")
  page = page_of([run_of(splits={"dev": table()}), run_of("two")])
  (tmp_path / "page.html").write_text(page)
  (tmp_path / "probe.html").write_text(PROBE.format(width=width))
  shown = subprocess.run(
    [
      browser,
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--allow-file-access-from-files",
      f"--user-data-dir={tmp_path}/profile",
      "--virtual-time-budget=9000",
      "--dump-dom",
      f"file://{tmp_path}/probe.html",
    ],
    capture_output=True,
    text=True,
    timeout=120,
  )
  title = re.search("<title>(.*?)</title>", shown.stdout)
  assert title, shown.stderr
  wide, charts = map(int, title[1].split())
  assert wide <= width  # Nothing sticks out: no scrolling to the side.
  assert charts == page.count("<svg")


def test_ten_thousand_points_are_a_small_page():
  page = page_of([run_of(points=10_000, splits={"dev": table(count=10_000)})])
  assert len(page) < 3e6
  chart = line_chart("x", [Line("a", range(10_000), np.sin(np.arange(10_000)))])
  points = re.search('points="(.*?)"', chart)[1].split()
  assert 100 < len(points) <= 700
  downs = [float(point.split(",")[1]) for point in points]
  whole = line_chart("x", [Line("a", [0, 1], [-1, 1])])
  ends = re.search('points="(.*?)"', whole)[1].split()
  # The least and the greatest survive.
  assert min(downs) == pytest.approx(float(ends[1].split(",")[1]), abs=0.2)
  assert max(downs) == pytest.approx(float(ends[0].split(",")[1]), abs=0.2)


def test_runs_stand_side_by_side_and_what_differs_is_marked():
  page = page_of([run_of("one"), run_of("two")])
  Checker(page)
  assert COLOURS[0] in page
  assert COLOURS[1] in page
  marked = re.findall('<td class="other">(.*?)</td>', page)
  assert marked == ["one", "two"]


def test_scores_have_no_confusion():
  page = page_of([run_of(splits={"dev": table(classes=1)})])
  Checker(page)
  assert "<figcaption>score " in page
  assert "squared error" in page
  assert "Confusion" not in page


@pytest.mark.parametrize(
  "other",
  [
    {"labels": np.zeros([40, 2], int)},  # Several classes at once.
    {"labels": np.full(40, 0.5)},
    {"outputs": np.zeros([40, 4, 3])},
    {"outputs": np.zeros(40)},
    {"labels": np.full(40, 7)},
  ],
)
def test_what_another_task_says_has_no_charts_and_does_no_harm(other):
  page = page_of([run_of(splits={"dev": {**table(), **other}})])
  Checker(page)
  assert "Confusion" not in page
  assert "calibration" not in page
  assert "text 0" in page
  nothing = {k: v for k, v in table().items() if k != "outputs"}
  assert "Confusion" not in page_of([run_of(splits={"dev": nothing})])


def test_a_run_that_goes_on_has_a_page():
  run = run_of()
  unfinished = Run(
    name="x", config={}, lines=run.lines[:3], result={}, splits={}, classes=[]
  )
  assert "goes on: 2" in page_of([unfinished])
  nothing = Run(name="x", config={}, lines=[], result={}, splits={}, classes=[])
  Checker(page_of([nothing]))


def test_metrics_have_their_intervals_on_the_page():
  known = {"accuracy": [0.55123, 0.65]}
  found = {"accuracy": 0.6, "f1": 0.5, "intervals": known, "of_record": "f1"}
  others = {f"b/{name}": value for name, value in found.items()}
  page = page_of([run_of(eval={**found, **others})])
  assert page.count("0.6000 [0.5512,\u00a00.6500]") == 2
  assert '<td class="">metric of record</td><td class="">f1</td>' in page


def test_charts_leave_out_what_is_not_finite():
  chart = line_chart("x", [Line("a", [0, 1, 2], [1.0, float("nan"), 3.0])])
  assert len(re.search('points="(.*?)"', chart)[1].split()) == 2
  assert line_chart("x", [Line("a", [], [])]) == ""
  assert stacked_bars("x", [("a", [("step", 0.0)])]) == ""
  assert "75.0%" in stacked_bars("x", [("a", [("b", 3.0), ("c", 1.0)])])


def test_examples_come_back_with_the_worst_first(tmp_path):
  source = ArraySource({"x": np.zeros([60, 2])}, np.zeros(60, int))
  found = {
    "labels": np.zeros(60, int),
    "weights": np.ones(60),
    "losses": np.arange(60.0),
    "outputs": np.zeros([60, 2]),
  }
  worst = examples.write(
    str(tmp_path), "dev", step=7, table=found, source=source
  )
  assert worst[0] == (59.0, "59")
  assert len(worst) == 60
  back = examples.read(str(tmp_path), "dev")
  assert int(back["step"]) == 7
  assert np.array_equal(back["losses"], found["losses"])
  assert np.array_equal(back["ids"], np.arange(60))
  assert back["texts"].tolist()[:2] == ["59", "58"]
  assert examples.read(str(tmp_path), "test") is None
  text = examples.markdown([(1.5, "a | b\nc")])
  assert text.splitlines()[-1] == "| 1.5000 | a \\| b c |"


def test_the_page_has_the_metrics_without_what_flatters():
  found = table()
  found["labels"] = found["outputs"].argmax(-1)
  found["labels"][:10] = 1 - found["labels"][:10]
  marked = np.arange(40) < 8
  found["mark.shares_a_sentence"] = marked
  found["mark.in_train"] = np.zeros(40, bool)
  accuracy = {"kind": "eval", "step": 100, "accuracy": 0.75}
  run = dataclasses.replace(
    run_of(splits={"dev": found}),
    lines=[accuracy],
    config={"evaluation.split": "dev"},
  )
  told = " ".join(Checker(page_of([run])).texts)
  assert "without 8 that share a sentence with train 32 0.9375 [0.79" in told
  assert "all 40 0.7500 [" in told and "are in train too" not in told
  del found["mark.shares_a_sentence"]
  assert "With and without" not in page_of([run])


def test_marks_are_kept_and_listed(tmp_path):
  source = ArraySource({"x": np.zeros([6, 2])}, np.zeros(6, int))
  source.marks = {"there_twice": (np.array([4, 5]), ["dev 1", "dev\t2"])}
  found = {
    "labels": np.zeros(6, int),
    "weights": np.ones(6),
    "losses": np.arange(6.0),
    "outputs": np.zeros([6, 2]),
  }
  examples.write(str(tmp_path), "dev", step=7, table=found, source=source)
  back = examples.read(str(tmp_path), "dev")
  assert np.flatnonzero(back["mark.there_twice"]).tolist() == [4, 5]
  listed = (tmp_path / "examples" / "dev.marks.tsv").read_text()
  assert listed.splitlines() == [
    "mark\tid\tlike\texample",
    "there_twice\t4\tdev 1\t4",
    "there_twice\t5\tdev 2\t5",
  ]


def test_of_long_examples_fewer_texts_are_kept(tmp_path, monkeypatch):
  monkeypatch.setattr(examples, "_ROOM", 500)
  source = ArraySource({"x": np.zeros([300, 2])}, np.zeros(300, int))
  found = {
    "labels": np.zeros(300, int),
    "weights": np.ones(300),
    "losses": np.arange(300.0),
    "outputs": np.zeros([300, 2]),
  }
  write = lambda: examples.write(
    str(tmp_path), "dev", step=7, table=found, source=source
  )
  assert len(write()) == 500 // 3  # Of three characters each.
  monkeypatch.setattr(examples, "_ROOM", 6)
  assert len(write()) == 50
  assert examples.read(str(tmp_path), "dev")["texts"].nbytes == 50 * 3 * 4


def test_a_metric_that_was_evaluated_once_has_no_curve():
  run = run_of()
  once = [x for x in run.lines if (x["kind"], x["step"]) != ("eval", 50)]
  assert "evaluation: accuracy" in page_of([run])
  page = page_of([dataclasses.replace(run, lines=once)])
  assert "evaluation: accuracy" not in page
  assert "<figcaption>loss " in page  # That of training is a curve.


def test_both_losses_are_in_one_chart_with_the_best_step():
  best = {"step": 50, "metric": "accuracy", "value": 0.55}
  page = page_of([run_of(best=best)])
  (chart,) = re.findall("<figure><figcaption>loss .*?</figure>", page)
  for part in (
    ">training<",
    ">evaluation<",
    "best accuracy 0.5500, at step 50",
  ):
    assert part in chart, part
  assert chart.count('class="mark"') == 1


def test_equal_runs_are_told_apart_and_called_equal():
  runs = [run_of(name, weights_sha256="ab") for name in ("one", "two")]
  page = page_of(runs)
  assert "two and one have the same weights, to the bit." in page
  (chart,) = re.findall("<figure><figcaption>learning rate .*?</figure>", page)
  lines = re.findall("<polyline.*?/>", chart)
  assert len(lines) == 2
  assert [("dasharray" in line) for line in lines] == [False, True]


@pytest.mark.parametrize(
  ("values", "ends"),
  [
    ([0.8113], (0.76, 0.86)),  # Of one share: no axis of 0.6 to 1.4.
    ([0.80, 0.81], (0.75, 0.86)),  # Noise does not fill the chart.
    ([1.0, 0.98], (0.94, 1.0)),
    ([0.2, 0.9], (0.2, 0.9)),
  ],
)
def test_axes_do_not_blow_up_what_hardly_differs(values, ends):
  chart = line_chart("x", [Line("a", range(len(values)), values, dots=True)])
  downs = {float(x) for x in re.findall('cy="(.*?)"', chart)}
  low, high = ends
  shares = sorted((value - low) / (high - low) for value in values)
  heights = sorted((194 - down) / 180 for down in downs)
  np.testing.assert_allclose(heights, shares, atol=0.03)


@pytest.mark.parametrize(
  ("name", "values", "height"),
  [("mse", (2.5, 2.8), 0.3 / 2.8), ("pearson", (0.5, 0.8), 1.0)],
)
def test_an_error_is_drawn_from_zero_and_a_share_is_not(name, values, height):
  run = run_of()
  for line, value in zip(run.lines[-2:], values, strict=True):
    line[name] = value
  page = page_of([run])
  (chart,) = re.findall(f"<figcaption>evaluation: {name} .*?</svg>", page)
  downs = [float(x) for x in re.findall('cy="(.*?)"', chart)]
  assert (max(downs) - min(downs)) / 180 == pytest.approx(height, abs=1e-3)


def test_means_say_of_how_many_examples_they_are():
  page = page_of([run_of(splits={"dev": table(count=100)})])
  (chart,) = re.findall(
    "<figure><figcaption>accuracy .expected.*?</figure>", page
  )
  counts = re.findall('class="count".*?>(.*?)</text>', chart)
  assert sum(map(int, counts)) == 100
  assert f"{counts[0]} examples" in chart and "polyline" not in chart
  (chart,) = re.findall(
    "<figure><figcaption>accuracy <small>.*?</figure>", page
  )
  assert re.findall('class="count".*?>(.*?)</text>', chart) == ["20"] * 5
  # Of fewer there is no curve.
  few = page_of([run_of(splits={"dev": table(count=30)})])
  assert "by length" not in few


def test_a_point_says_its_value_under_the_mouse():
  chart = line_chart("x", [Line("a", range(500), np.arange(500) / 7)])
  titles = re.findall("<title>(.*?)</title>", chart)
  assert 40 < len(titles) <= 60 and "a 0: 0" in titles[0]


def test_runs_of_one_name_are_told_by_their_folders(tmp_path):
  labels, outputs = np.arange(8) % 2, np.zeros([8, 2])
  for name in ("a/run", "b/run", "c"):
    write_run(tmp_path / name, labels=labels, outputs=outputs)
  paths = [str(tmp_path / name) for name in ("a/run", "b/run", "c")]
  assert [x.name for x in read_runs(paths)] == ["a/run", "b/run", "c"]
  assert [x.name for x in read_runs(paths[:1])] == ["run"]
  twice = [x.name for x in read_runs([paths[2]] * 2)]
  assert twice[0] != twice[1]
  write_page(paths, str(tmp_path / "page.html"))
  page = (tmp_path / "page.html").read_text()
  Checker(page)
  assert "a/run, task demo, seed 0, 20" in page
