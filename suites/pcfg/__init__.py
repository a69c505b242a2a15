"""Claims about models pretrained on a grammar (PCFG)."""
