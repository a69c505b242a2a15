"""Loggers that people have: curves of the models while they are made, verdicts and margins at the end."""
