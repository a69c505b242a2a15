"""Methods side by side: what each did to the capabilities, what the tools measured case by case, and what it cost."""
