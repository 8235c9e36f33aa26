"""Tests by pytest: Bazel starts `run_tests.py` with the path of the file."""

load("@rules_python//python:defs.bzl", "py_test")

def pytest_tests(deps, data = []):
    """Makes a `py_test` of each `*_test.py` of the folder.

    Args:
      deps: what the tests of the folder import, beside pytest and TensorFlow,
        which `conftest.py` needs too.
      data: what they read, beside the settings of pytest.
    """
    for file in native.glob(["*_test.py"]):
        py_test(
            name = file[:-3],
            srcs = [file, "//tests/support:run_tests.py"],
            main = "//tests/support:run_tests.py",
            args = ["$(location %s)" % file],
            timeout = "eternal",  # The slow ones run too.
            visibility = ["//tests:__subpackages__"],
            data = data + ["//:setup.cfg"],
            deps = [x for x in deps if x != ":" + file[:-3]] + ["//tests:conftest"],
        )
