"""Measurements of capabilities in natural language: a model and prompts in, numbers out."""
