"""The PCFG setup: questions about strings of a probabilistic context-free grammar (paper App. B.2)."""
