"""Stories: what deleting a capability by choice of data does to it (the paper's Sec. 5.2 and App. F)."""
