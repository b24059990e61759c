"""The Network page: its link, its table, and what is said of a run."""
