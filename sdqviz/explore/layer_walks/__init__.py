"""One layer quantized weight after weight, by every method and many times."""
