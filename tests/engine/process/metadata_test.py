"""The metadata server is asked where there is one, and nowhere else."""

import pytest

from engine.process import metadata
from engine.process.metadata import event_of, find_metadata_host


@pytest.mark.parametrize("host", ["127.0.0.1:1", "127.0.0.1:x", "no host"])
def test_a_server_that_is_not_there_says_nothing(host):
  assert event_of(host) == ""


def test_the_metadata_server_is_looked_for_on_its_machines_only(
  monkeypatch, tmp_path
):
  product = tmp_path / "product_name"
  monkeypatch.setattr(metadata, "_PRODUCT", str(product))
  monkeypatch.delenv("GCE_METADATA_HOST", raising=False)
  assert find_metadata_host() == ""
  product.write_text("Standard PC\n")
  assert find_metadata_host() == ""
  product.write_text("Google Compute Engine\n")
  assert find_metadata_host() == "169.254.169.254"
  monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:8080")
  assert find_metadata_host() == "127.0.0.1:8080"
