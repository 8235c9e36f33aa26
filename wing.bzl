"""A wing: one library of the rooms in a folder, and programs beside it."""

load("@rules_python//python:defs.bzl", "py_binary", "py_library")

def wing(deps, data = [], programs = {}):
    """Declares the wing of a folder, for what stands above it in the map.

    Args:
      deps: what its rooms import.
      data: what they read, and the programs that they start.
      programs: rooms that are started by themselves, and what they import.
    """
    folder = native.package_name()
    visibility = ["//:above_" + folder.replace("/", "_")]
    py_library(
        name = folder.split("/")[-1],
        srcs = native.glob(["*.py"], exclude = [x + ".py" for x in programs]),
        data = data,
        visibility = visibility,
        deps = deps,
    )
    for name, imported in programs.items():
        py_binary(
            name = name,
            srcs = [name + ".py"],
            visibility = visibility,
            deps = imported,
        )
