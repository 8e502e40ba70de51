"""The embedded server's behaviour: documents that take PATCH. Pure."""
