"""A server before the sidecar that does what networks do: loses calls and answers."""

import collections
import concurrent.futures

import grpc


class Front(grpc.GenericRpcHandler):
    """Passes every unary call on as it is, unless told otherwise. `with` ends it."""

    def __init__(self, server):
        self.server = server
        # What happens to the next calls of a method, by its name: `refuse` or `lose`.
        self.trouble = collections.defaultdict(list)
        # The requests that came, by method, as bytes.
        self.seen = collections.defaultdict(list)

    def __enter__(self):
        self._channel = grpc.insecure_channel(self.server)
        self._pool = concurrent.futures.ThreadPoolExecutor(4)
        self._listener = grpc.server(self._pool, handlers=[self])
        self.address = f"127.0.0.1:{self._listener.add_insecure_port('127.0.0.1:0')}"
        self._listener.start()
        return self

    def __exit__(self, *_):
        self._listener.stop(None).wait()
        self._pool.shutdown()
        self._channel.close()

    def refuse(self, method, times):
        """The next calls of a method do not get to the sidecar."""
        self.trouble[method] += ["refuse"] * times

    def lose(self, method, times):
        """The next calls of a method are carried out, and their answers are lost."""
        self.trouble[method] += ["lose"] * times

    def service(self, details):
        method = details.method.rsplit("/", 1)[1]

        def pass_on(request, context):
            self.seen[method].append(request)
            trouble = self.trouble[method].pop() if self.trouble[method] else None
            if trouble == "refuse":
                context.abort(grpc.StatusCode.UNAVAILABLE, "as the test told")
            try:
                answer = self._channel.unary_unary(details.method)(request, timeout=10)
            except grpc.RpcError as error:
                context.set_trailing_metadata([entry for entry in error.trailing_metadata() if entry[0] == "grpc-status-details-bin"])
                context.abort(error.code(), error.details())
            if trouble == "lose":
                context.abort(grpc.StatusCode.UNAVAILABLE, "as the test told")
            return answer

        return grpc.unary_unary_rpc_method_handler(pass_on)
