"""Building blocks of the catalogue networks, as torch modules."""
