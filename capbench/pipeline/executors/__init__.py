"""Ways to carry out the steps of a plan: in this process (optionally stacked), in worker processes, on a Ray cluster.

`base.Executor` documents what all of them guarantee (order, errors, what survives a kill); each class documents the rest.
"""
