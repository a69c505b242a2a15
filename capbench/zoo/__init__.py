"""Base models that come with the package, so that a first run need not train them."""
