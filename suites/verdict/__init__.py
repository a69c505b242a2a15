"""The verdict on the capability of each fine-tuned model, as a claim: run this first with a method of your own."""
