"""The models there are, at the engine, and how new ones come in."""
