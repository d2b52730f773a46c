"""What only a CUDA device can show; `results.md` has what it showed, on what, and when."""
