"""The collector rests while libraries are imported, and passes over them."""

import gc

import pytest

from launch.command.imports import slow_imports


@pytest.mark.parametrize("asked", [True, False])
def test_what_was_imported_is_passed_over_and_the_collector_is_as_it_was(asked):
  was, frozen = gc.isenabled(), gc.get_freeze_count()
  (gc.enable if asked else gc.disable)()
  try:
    with pytest.raises(ImportError), slow_imports():
      assert not gc.isenabled()
      made = [[] for _ in range(1_000)]
      raise ImportError
    assert gc.isenabled() == asked
    assert gc.get_freeze_count() >= frozen + len(made)
  finally:
    (gc.enable if was else gc.disable)()
