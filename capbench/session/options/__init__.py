"""The options of a run: the one table of them, how they are read and checked, and the page that lists them."""
