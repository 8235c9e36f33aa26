"""What a cloud machine's metadata server says of the end of the machine."""

import contextlib
import http.client
import json
import os
import urllib.request

_TIMEOUT = 2.0  # Seconds for an answer of the metadata server.
_PRODUCT = "/sys/class/dmi/id/product_name"
_METADATA_HOST = "169.254.169.254"  # Needs no name service.


def find_metadata_host() -> str:
  """Returns the host of Compute Engine's metadata server; "" elsewhere."""
  if host := os.environ.get("GCE_METADATA_HOST"):
    return host
  with contextlib.suppress(OSError), open(_PRODUCT) as file:
    if file.read().strip() == "Google Compute Engine":
      return _METADATA_HOST
  return ""


def event_of(host: str) -> str:
  """Returns the event of the machine that will end it; "" for none."""
  if _fetch(host, "preempted") == "TRUE":
    return "preemption of this machine"
  event = _fetch(host, "maintenance-event")
  # Machines without accelerators migrate, which is no reason to stop.
  if event == "TERMINATE_ON_HOST_MAINTENANCE":
    return f"maintenance event {event}"
  with contextlib.suppress(ValueError):
    plan = json.loads(_fetch(host, "upcoming-maintenance?alt=json"))
    if isinstance(plan, dict) and plan.get("maintenance_status") == "ONGOING":
      return "maintenance of this machine, ONGOING"
  return ""


def _fetch(host: str, name: str) -> str:
  """Returns a value of the metadata server; "" where none comes."""
  opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
  try:
    request = urllib.request.Request(
      f"http://{host}/computeMetadata/v1/instance/{name}",
      headers={"Metadata-Flavor": "Google"},
    )
    with opener.open(request, timeout=_TIMEOUT) as response:
      return response.read().decode().strip()
  except (OSError, http.client.HTTPException, ValueError):
    return ""
