"""Ways to bring a lost capability back, besides full fine-tuning: one short file each. What they show is read in `studies`."""
