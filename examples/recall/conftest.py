"""Gives the study its name."""

from study import recall


def pytest_capbench_register_studies(config):
    return {"recall": recall}
