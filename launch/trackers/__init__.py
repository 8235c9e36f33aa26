"""Where else a run is told: --action=launch.trackers.NAME:Class."""
