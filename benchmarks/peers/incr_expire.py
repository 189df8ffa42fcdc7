"""The classic of serverless authorizers behind the same door as ratelimitd: INCR, then EXPIRE, for each check.

Reads Envoy's CheckRequest with protobuf's C runtime in a grpc.aio server, counts the client's address in a Redis by
redis-py, two round trips, and answers. Listens on 127.0.0.1, any port, and prints "port N".

    python -m benchmarks.peers.incr_expire REDIS_PORT
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import grpc
import grpc.aio
from redis.asyncio import Redis

from benchmarks import scenarios
from benchmarks.peers.grpcio_aio import CheckRequest, CheckResponse, client_address

LIMIT, WINDOW = scenarios.PLENTY, 3600


class Counting:
    def __init__(self, port: int) -> None:
        self._redis = Redis(port=port)

    async def check(self, request: Any, context: object) -> Any:
        attributes = request.attributes
        peer = attributes.source.address.socket_address.address
        key = f"{client_address(peer, attributes.request.http.headers)}:{int(time.time()) // WINDOW}"
        used = await self._redis.incr(key)
        await self._redis.expire(key, WINDOW)
        response = CheckResponse()
        if used > LIMIT:
            response.status.code = 8
            response.denied_response.status.code = 429
            return response
        response.ok_response.SetInParent()
        header = response.ok_response.response_headers_to_add.add().header
        header.key, header.value = "ratelimit", f'"per-ip";r={LIMIT - used}'
        return response


async def serve(redis_port: int) -> None:
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(
        Counting(redis_port).check,
        request_deserializer=CheckRequest.FromString,
        response_serializer=CheckResponse.SerializeToString,
    )
    _, service, method = scenarios.CHECK.split("/")
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"port {port}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
