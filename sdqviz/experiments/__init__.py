"""Many runs: sweeps and their store, the search for a size, Pareto tables, the papers' tables and figures."""
