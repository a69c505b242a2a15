"""How a method is named, found, hashed and loaded."""
