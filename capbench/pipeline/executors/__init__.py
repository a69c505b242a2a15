"""Ways to carry out the steps of a plan: in this process (also stacked), in worker processes, on a Ray cluster.

What all of them promise (order, errors, what survives a kill) is said at `base.Executor`, what each adds at its class.
"""
