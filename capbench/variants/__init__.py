"""Claims on variants of their task: drawn by Hypothesis, judged one by one, the simplest that fails found."""
