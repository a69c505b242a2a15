"""Ways to carry out the steps of a plan: in this process, in worker processes, on a Ray cluster."""
