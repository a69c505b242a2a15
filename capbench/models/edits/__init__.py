"""Models whose state is known by construction: a capability preserved by a rewrite, hidden by an added part, or deleted."""
