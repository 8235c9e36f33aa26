"""What the settings of GPUs and of their links come to."""

import types

import pytest

from engine.cluster import strategies
from engine.cluster.discovery import Cluster
from engine.config import RuntimeConfig


@pytest.mark.parametrize("growth", [True, False])
def test_gpus_grow_their_memory_unless_told(monkeypatch, growth):
  """The devices are CPUs; TensorFlow is told of two GPUs."""
  gpus = [types.SimpleNamespace(name=f"GPU:{i}") for i in range(2)]
  cpu = types.SimpleNamespace(name="/device:CPU:0")
  told = []
  config = strategies.tf.config
  monkeypatch.setattr(config, "list_physical_devices", lambda kind: gpus)
  monkeypatch.setattr(config, "list_logical_devices", lambda kind: [cpu])
  monkeypatch.setattr(
    config.experimental,
    "set_memory_growth",
    lambda gpu, enable: told.append((gpu.name, enable)),
  )
  assert RuntimeConfig().memory_growth
  _, said = strategies.create_strategy(RuntimeConfig(memory_growth=growth))
  assert "1 GPU device(s)" in said
  assert told == [("GPU:0", growth), ("GPU:1", growth)]


@pytest.mark.parametrize("communication", ["auto", "nccl", "ring"])
def test_workers_add_up_as_they_are_told(monkeypatch, communication):
  made = []

  class Strategy:
    num_replicas_in_sync = 2

    def __init__(self, resolver, options):
      made.append(options.implementation.value)

  monkeypatch.setattr(
    strategies.tf.distribute, "MultiWorkerMirroredStrategy", Strategy
  )
  cluster = Cluster(
    size=2, index=0, addresses={0: "a:1", 1: "b:1"}, found_in="a test"
  )
  config = RuntimeConfig(communication=communication)
  strategies.create_strategy(config, cluster)
  assert made == [communication.upper()]
