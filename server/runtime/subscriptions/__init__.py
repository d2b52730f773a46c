"""Who follows jobs and streams, and what they are told."""
