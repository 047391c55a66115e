"""Other loaders behind our call, and our loader behind the call of another."""

from terracube.cubes.engines.odc import load_odc
from terracube.cubes.engines.peers import load_peer
from terracube.cubes.engines.request import PeerRequest
from terracube.cubes.engines.stack import IgnoredArgumentWarning, stack
from terracube.cubes.engines.stackstac import load_stackstac

__all__ = ["IgnoredArgumentWarning", "PeerRequest", "load_odc", "load_peer", "load_stackstac", "stack"]
