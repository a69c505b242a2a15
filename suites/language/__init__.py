"""Claims about a language model that is given with --capbench-model."""
