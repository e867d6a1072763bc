"""Everything about bytes on disk that is not about models: writers, readers, locks, hashes, space."""
