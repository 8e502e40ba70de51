"""HTTP as values: messages, field grammar, and one exchange as bytes in and bytes out. Pure."""
