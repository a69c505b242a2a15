"""Claims tried on tasks that Hypothesis draws."""
