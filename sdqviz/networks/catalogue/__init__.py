"""Networks: the catalogue, one a file, each a choice whose ``load()`` gives a `sdqviz.networks.network.Network`."""

from sdqviz.networks.catalogue.network_choice import NetworkChoice
from sdqviz.registry import Registry

NETWORKS: Registry[NetworkChoice] = Registry("sdqviz.networks.catalogue", "network")
