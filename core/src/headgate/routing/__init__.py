"""Routing configs: Portkey's JSON, decoded once into a tree of targets."""

from headgate.routing.decode import INLINE, Asked, Known, decode_target, leaf_of

__all__ = ["INLINE", "Asked", "Known", "decode_target", "leaf_of"]
