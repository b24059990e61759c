"""Which channels of a network go together, and how they are cut out."""
