"""Uploaded videos on their way through the workers."""
