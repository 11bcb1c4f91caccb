"""A model with grpcio: grpc_server.py. It echoes bytes in all four kinds of call, beside grpcio's own health service."""

import os
import sys
import threading
import time
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
health_service = health.HealthServicer()
# Calls that hang, and calls that were ended from the other side.
hanging, cancelled = threading.Semaphore(0), threading.Semaphore(0)


def unary(request, context):
    context.send_initial_metadata((("x-initial", "first"),))
    context.set_trailing_metadata((("x-trailing", "last"), ("x-trailing-bin", b"\x00\xff")))
    if request == b"fail":
        context.abort(grpc.StatusCode.NOT_FOUND, "kein Modell „müde“ (100 %)")
    if request == b"hang":
        context.add_callback(cancelled.release)
        hanging.release()
        while context.is_active():
            time.sleep(0.01)
    if request == b"does anything hang?":
        return b"yes" if hanging.acquire(timeout=10) else b"no"
    if request == b"was anything cancelled?":
        return b"yes" if cancelled.acquire(timeout=10) else b"no"
    return request


def fan_out(request, context):
    for number in range(int(request)):
        yield b"%d" % number
    if request == b"3":
        context.abort(grpc.StatusCode.DATA_LOSS, "after three")
    context.set_trailing_metadata((("x-trailing", "last"),))


def gather(requests, context):
    return b"%d" % sum(len(request) for request in requests)


def chat(requests, context):
    for request in requests:
        yield request
    context.set_trailing_metadata((("x-trailing", "last"),))


def set_health(request, context):
    health_service.set("", SERVING if request == b"on" else NOT_SERVING)
    return request


methods = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "FanOut": grpc.unary_stream_rpc_method_handler(fan_out),
    "Gather": grpc.stream_unary_rpc_method_handler(gather),
    "Chat": grpc.stream_stream_rpc_method_handler(chat),
    "SetHealth": grpc.unary_unary_rpc_method_handler(set_health),
}
server = grpc.server(futures.ThreadPoolExecutor(max_workers=300), options=[("grpc.so_reuseport", 0)])
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("peers.Model", methods),))
health_pb2_grpc.add_HealthServicer_to_server(health_service, server)
health_service.set("", NOT_SERVING if "asleep" in sys.argv else SERVING)
port = server.add_insecure_port(f"127.0.0.1:{os.environ.get('PORT', '0')}")
server.start()
print(f"listening on {port}", flush=True)
server.wait_for_termination()
