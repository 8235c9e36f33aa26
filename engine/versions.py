"""What a result depends on beside its config: packages, Python, our code."""

import importlib.metadata
import pathlib
import platform
import zlib

_PACKAGES = ("tf_keras", "tf-models-official", "numpy", "tokenizers")


def versions() -> dict[str, str]:
  """Returns name -> version, without importing what it names.

  `apsis` is a digest of the code below the doors: checkouts differ where
  version numbers do not.
  """
  house = pathlib.Path(__file__).parent.parent
  code = [
    path.read_bytes()
    for floor in ("engine", "tasks")
    for path in sorted((house / floor).glob("*.py"))
  ]
  return {
    "apsis": f"{zlib.crc32(b''.join(code)):08x}",
    "python": platform.python_version(),
    # On a TPU VM the module tensorflow comes in the package tensorflow-tpu.
    "tensorflow": _version("tensorflow", "tensorflow-tpu"),
    **{package: _version(package) for package in _PACKAGES},
  }


def _version(*packages: str) -> str:
  """The version of the first package that is installed."""
  for package in packages:
    try:
      return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
      continue
  return "not installed"
