"""The server's side of authentication, on the functions that the client's side uses."""
