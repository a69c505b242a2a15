"""Claims about models that tell stories."""
