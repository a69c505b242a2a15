"""One run of the suites, knowing nothing of pytest: its options, its methods and studies, its models, its results."""
