"""docs/settings.md says what the dataclasses say."""

import os

from launch.command.flags import settings
from launch.command.reference import page
from tests.support.testing import ROOT


def test_the_page_of_settings_is_current():
  with open(os.path.join(ROOT, "docs", "settings.md")) as file:
    assert file.read() == page(), "run `make settings`"


def test_each_flag_of_a_setting_is_on_the_page():
  text = page()
  assert len(settings()) > 50
  for name, setting in settings().items():
    assert f"| `{setting.path}`" in text
    assert f"<br>`--{name}` |" in text
