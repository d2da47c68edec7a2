"""`python -m common.health ADDRESS`: exit code 0 if the gRPC health service there says SERVING.

For the health checks of containers. ADDRESS is host:port or unix:PATH, without TLS.
"""

from __future__ import annotations

import sys

SECONDS = 4.0


SERVING = "SERVING"


def health_of(address: str, seconds: float = SECONDS) -> str:
    """Ask the standard gRPC health service: `SERVING`, another status, or why it is silent.

    Why it is silent is gRPC's word for it in small letters, for example ``deadline exceeded``.
    """
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    options = [("grpc.use_local_subchannel_pool", 1)]
    if address.startswith("unix:"):
        options.append(("grpc.enable_http_proxy", 0))
    with grpc.insecure_channel(address, options) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=seconds
            )
        except grpc.RpcError as error:
            return str(error.code().name.lower().replace("_", " "))
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


def main(arguments: list[str]) -> int:
    """Print what was found; 0 serving, 1 not, 2 wrong use."""
    if len(arguments) != 1:
        print("Give one address: host:port or unix:PATH.", file=sys.stderr)
        return 2
    well = health_of(arguments[0]) == SERVING
    print(f"{arguments[0]} is {'serving' if well else 'not serving'}")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
