"""Ways to bring a capability in natural language back that train nothing, one short file each: prompts, directions.

Rounding and low-rank relearning are in measure/attacks, and lenses and probes in layers.py.
"""
