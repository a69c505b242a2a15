"""Built-in methods that fine-tune on the target task, one per file."""
