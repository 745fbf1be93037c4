"""Networks of Caffe: `.prototxt` files read into specifications of ours, without Caffe and without protobuf."""

from .network import CaffeNetwork, read_prototxt

__all__ = ["CaffeNetwork", "read_prototxt"]
