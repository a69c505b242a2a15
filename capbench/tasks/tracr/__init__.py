"""The tasks of compiled models: strings, programs, Counter and Max-identifier."""
