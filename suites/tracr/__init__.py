"""Claims about models compiled with Tracr."""
