"""Somebody's own stories in the format of TinyStories-Instruct: read, made to tokens once, and drawn as a task.

Source of the format: TinyStories (arXiv 2305.07759), whose stories the paper takes (Sec. 5.2, App. B.3).
"""
