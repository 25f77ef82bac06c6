"""Routing configs: Portkey's JSON, decoded once into a tree of targets."""

from headgate.routing.decode import decode_target, leaf_of

__all__ = ["decode_target", "leaf_of"]
