"""How long a plan would take on other machines: its steps, scheduled as executors would, with times that a store remembers."""
