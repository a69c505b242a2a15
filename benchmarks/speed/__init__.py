"""What the benchmarks share: counting of operations, rounds, the machine, Hugging Face's GPT-2, tables."""
