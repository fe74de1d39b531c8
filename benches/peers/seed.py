"""Runs the server of the teaching example: seed.py PATH-OF-ITS-server.py PORT

It does what the example's serve() does, but on this port of the loopback interface. The
stubs are generated from the todo.proto beside server.py. Prints
`listening on 127.0.0.1:PORT` once it accepts calls.
"""

import pathlib
import sys
import tempfile
from concurrent import futures

import grpc
from grpc_tools import protoc


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: seed.py PATH-OF-ITS-server.py PORT")
    example = pathlib.Path(sys.argv[1]).resolve().parent
    sys.dont_write_bytecode = True  # the example's directory stays unchanged
    with tempfile.TemporaryDirectory() as made:
        arguments = [f"-I{example}", f"--python_out={made}", f"--grpc_python_out={made}"]
        if protoc.main(["protoc", *arguments, "todo.proto"]) != 0:
            sys.exit("protoc could not generate the stubs from todo.proto")
        sys.path[:0] = [made, str(example)]
        import server as program
        import todo_pb2_grpc

    server = grpc.server(futures.ThreadPoolExecutor(max_workers=10))
    todo_pb2_grpc.add_TodoServiceServicer_to_server(program.TodoService(), server)
    port = server.add_insecure_port(f"127.0.0.1:{sys.argv[2]}")
    server.start()
    print(f"listening on 127.0.0.1:{port}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
