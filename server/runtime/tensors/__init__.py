"""Tensors that clients send to models directly."""
