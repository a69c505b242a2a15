"""From numbers to verdicts: the status of a claim, the state of a capability. No torch."""
