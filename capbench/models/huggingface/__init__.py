"""Causal language models of the transformers library behind the one model interface. Only model.py and loading.py import it."""
