"""The `capbench` command: one file per sub-command."""
