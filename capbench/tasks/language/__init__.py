"""Capabilities in natural language: what a model can be asked, read from a file or generated, as text and as tokens."""
