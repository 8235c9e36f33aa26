"""What the site of the docs has beside docs/: a hook of MkDocs.

Pages link to each other as they lie in the repository, so that they can be read
there; on the site README.md is the first page, and the recipes have a folder.
"""

import pathlib
import posixpath
import re

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_RECIPES = "launch/recipes"
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")


def _places() -> dict[str, str]:
  """Path in the repository -> path on the site, of what is not in docs/."""
  recipes = {
    f"{_RECIPES}/{path.name}": f"recipes/{path.name}"
    for path in sorted((_ROOT / _RECIPES).iterdir())
    if path.is_file()
  }
  return {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
  } | recipes


def on_files(files, config):
  """Adds the pages that lie elsewhere."""
  # Imported here: links are led without it too.
  from mkdocs.structure.files import File

  for path, place in _places().items():
    files.append(File.generated(config, place, abs_src_path=str(_ROOT / path)))
  return files


def on_page_markdown(markdown, page, config, files):
  """Leads links from where pages lie to where they stand."""
  places = _places()
  here = {v: k for k, v in places.items()}.get(
    page.file.src_uri, f"docs/{page.file.src_uri}"
  )

  def led(match):
    target = posixpath.normpath(
      posixpath.join(posixpath.dirname(here), match[1])
    )
    place = places.get(target, target.removeprefix("docs/"))
    if place == target and not target.startswith("docs/"):
      return match[1]  # Not on the site: a warning, which is an error.
    start = posixpath.dirname(page.file.src_uri) or "."
    return posixpath.relpath(place, start)

  return _LINK.sub(led, markdown)
