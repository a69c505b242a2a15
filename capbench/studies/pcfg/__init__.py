"""The PCFG study: Counter, Indexer and jailbreak, pretrained on a grammar, and tasks of the user's own."""
