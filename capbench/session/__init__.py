"""One run of the suites, independent of pytest: options, methods and studies, models, results."""
