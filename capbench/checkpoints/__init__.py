"""Checkpoint mode: base models and data go out in a folder, weights that were trained elsewhere come back and are judged."""
