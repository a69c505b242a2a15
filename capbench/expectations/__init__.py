"""What a user expects of a method, instead of what the paper says of full fine-tuning: read, matched, held against a run."""
