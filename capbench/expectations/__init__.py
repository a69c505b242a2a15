"""What a user expects of a method, in place of what the paper says of full fine-tuning: read, matched, compared with a run."""
