"""The reference example interface's stubs, made from example.proto when this module is imported."""

import pathlib
import sys
import tempfile

import grpc
from grpc_tools import protoc

# A connection of its own for each channel, and none through a proxy: the reference example's
# server tells watchers apart by their connection.
CHANNEL_OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]


def _generate():
    source = pathlib.Path(__file__).resolve().parent
    with tempfile.TemporaryDirectory() as made:
        arguments = [f"-I{source}", f"--python_out={made}", f"--grpc_python_out={made}"]
        if protoc.main(["protoc", *arguments, "example.proto"]) != 0:
            sys.exit("protoc could not make the stubs from example.proto")
        sys.path.insert(0, made)
        try:
            import example_pb2
            import example_pb2_grpc
        finally:
            sys.path.remove(made)
    return example_pb2, example_pb2_grpc


pb, rpc = _generate()


def connect(address):
    """Returns a new connection's channel and its stub."""
    channel = grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
    return channel, rpc.TodoServiceStub(channel)
