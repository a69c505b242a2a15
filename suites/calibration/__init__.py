"""Claims about the tools themselves: whether they judge models of known state right."""
