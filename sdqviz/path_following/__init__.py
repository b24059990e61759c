"""Path following from Gram matrices: align, then walk."""
