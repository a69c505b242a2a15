"""Claims on models of other architectures: does the wrapper depend on attention?"""
