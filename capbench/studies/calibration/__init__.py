"""The calibration study: models whose state is known by construction."""
