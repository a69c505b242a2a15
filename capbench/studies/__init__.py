"""Experiments as data: each study owns its scales, models, readings, claims and tools."""
