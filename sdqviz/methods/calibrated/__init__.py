"""Methods that look at calibration data: how it is carried through the network, and the layer-by-layer walk."""
