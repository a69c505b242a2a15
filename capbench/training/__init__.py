"""The one training loop, and stacks: several trainings in one pass."""
