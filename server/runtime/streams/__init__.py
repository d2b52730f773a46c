"""Live sources: kept in workers, whatever dies."""
