"""Attempts to delete: the Counter under conditions that go beyond the paper's, and models that are deleted for certain."""
