"""Methods that make models of known state, each in a file of its own, called as any fine-tuning method: (model, task, config)."""
