"""`python -m common.health ADDRESS`: exit code 0 if the gRPC health service there says SERVING.

For the health checks of containers. ADDRESS is host:port or unix:PATH, without TLS.
"""

from __future__ import annotations

import sys

SECONDS = 4.0


def serving(address: str, seconds: float = SECONDS) -> bool:
    """Ask the standard gRPC health service whether its server is serving."""
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(address) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=seconds
            )
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def main(arguments: list[str]) -> int:
    """Print what was found; 0 serving, 1 not, 2 wrong use."""
    if len(arguments) != 1:
        print("Give one address: host:port or unix:PATH.", file=sys.stderr)
        return 2
    well = serving(arguments[0])
    print(f"{arguments[0]} is {'serving' if well else 'not serving'}")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
