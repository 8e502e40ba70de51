"""Connection files, secrets, records and locks: what is read from and written to disk."""
