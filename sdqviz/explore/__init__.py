"""One thing looked at closely: a vector, a layer, a network, a bound along a sweep; and its worked examples."""
