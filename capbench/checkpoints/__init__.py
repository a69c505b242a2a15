"""Checkpoint mode: base models and data are exported to a folder; weights trained elsewhere come back and are judged."""
