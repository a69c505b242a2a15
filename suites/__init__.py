"""The claims of the paper as pytest tests, one folder per setup, one file per claim. Installed as `capbench.suites`."""
