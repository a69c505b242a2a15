"""Capabilities of a given language model: implanted ones, whose true state is known, and those that it has from pretraining."""
