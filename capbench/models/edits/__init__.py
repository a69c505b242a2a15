"""Models whose state is known by construction: rewrites that keep the function, parts that hide it, and taking it out."""
