"""What the pages draw, one file a page: a pure *info* function, then *draw* functions that return panels."""
