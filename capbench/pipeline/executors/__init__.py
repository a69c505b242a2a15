"""Ways to carry out the steps of a plan: in this process (also stacked), in worker processes, on a Ray cluster."""
