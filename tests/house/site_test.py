"""The site of the docs: each page is on it, and each link leads somewhere."""

import glob
import os
import re
import runpy
import types

from tests.support.testing import ROOT

HOOK = runpy.run_path(os.path.join(ROOT, "docs", "site_pages.py"))


def led(page, text):
  place = types.SimpleNamespace(file=types.SimpleNamespace(src_uri=page))
  return HOOK["on_page_markdown"](text, place, None, None)


def test_links_lead_from_where_a_page_stands_on_the_site():
  for page, link, target in (
    ("index.md", "docs/data.md#x", "data.md#x"),
    ("index.md", "launch/recipes/slurm.sbatch", "recipes/slurm.sbatch"),
    ("running.md", "../launch/recipes/README.md", "recipes/README.md"),
    ("running.md", "../README.md", "index.md"),
    ("running.md", "data.md", "data.md"),
    ("running.md", "#here", "#here"),
    ("running.md", "https://x.org/a.md", "https://x.org/a.md"),
    ("contributing.md", "docs/data.md", "data.md"),
    ("recipes/README.md", "slurm.sbatch", "slurm.sbatch"),
    ("recipes/README.md", "../../docs/security.md", "../security.md"),
    ("running.md", "../engine/task.py", "../engine/task.py"),  # A warning.
  ):
    assert led(page, f"see [it]({link}).") == f"see [it]({target}).", link


def test_each_page_of_the_docs_is_on_the_site():
  with open(os.path.join(ROOT, "mkdocs.yml")) as file:
    text = file.read()
  named = set(re.findall(r"(?m)^ *- .*: (\S+\.(?:md|ipynb))$", text))
  pages = {
    os.path.basename(x) for x in glob.glob(os.path.join(ROOT, "docs", "*"))
  }
  assert {x for x in pages if x.endswith((".md", ".ipynb"))} <= named
  assert "anchors: warn" in text  # And `make site` takes no warning.


def test_the_reference_names_what_there_is():
  with open(os.path.join(ROOT, "docs", "api.md")) as file:
    names = re.findall(r"(?m)^::: (\S+)$", file.read())
  assert len(names) >= 10
  for name in names:
    path = name.replace(".", "/") + ".py"
    module, _, attribute = name.rpartition(".")
    if not os.path.exists(os.path.join(ROOT, path)):
      with open(os.path.join(ROOT, module.replace(".", "/") + ".py")) as file:
        assert re.search(rf"(?m)^(class|def) {attribute}\b", file.read()), name
