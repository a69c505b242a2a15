"""Capabilities that need no file: implants, which no model has, and two that language models are known to have."""
