"""Records, their order, and the honest outcome of each. Pure."""
