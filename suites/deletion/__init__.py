"""Attempts to delete a capability: which conditions turn wrapped into deleted?"""
