"""What a connection file says, as frozen values. Pure."""
