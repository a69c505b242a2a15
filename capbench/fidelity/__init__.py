"""The paper's tables beside ours: which of its figures come out the same here."""
