"""Adapters of the PEFT library as methods."""
