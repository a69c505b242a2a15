"""Models of one architecture trained in one batched pass a step, by functions that know nothing of each other."""
