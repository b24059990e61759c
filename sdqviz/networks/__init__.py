"""Networks: the catalogue, one a file, each a choice whose ``load()`` gives a `sdqviz.network.Network`."""

from sdqviz.network_choice import NetworkChoice
from sdqviz.registry import Registry

NETWORKS: Registry[NetworkChoice] = Registry("sdqviz.networks", "network")
