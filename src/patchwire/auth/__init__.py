"""Authentication as pure functions and a generator that any HTTP stack can drive."""
