"""A run of joint pruning and quantization looked at closely: its figures, its sentences, and where it is drawn."""
