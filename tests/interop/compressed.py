"""Sends a request that is small on the wire and large unpacked: compressed.py ADDR

Prints the status code of the answer.
"""

import sys

import grpc

from example_stubs import connect, pb

channel, stub = connect(sys.argv[1])
with channel:
    request = pb.AddTaskRequest(title="x" * (256 << 20))
    try:
        stub.AddTask(request, compression=grpc.Compression.Gzip)
        print("OK")
    except grpc.RpcError as refused:
        print(refused.code().name)
