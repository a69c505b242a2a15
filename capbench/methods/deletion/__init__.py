"""Built-in methods that are meant to delete the old capability, one per file."""
