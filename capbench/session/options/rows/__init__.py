"""The rows of the table of options, a file for each of its parts."""
