"""Content-addressed artefacts: what is kept, under which key, and the version of the code that made it."""
