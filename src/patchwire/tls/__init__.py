"""TLS on pyOpenSSL: certificates, contexts, and an engine that takes and gives bytes. No sockets, no files."""
