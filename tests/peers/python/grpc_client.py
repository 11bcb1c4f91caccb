"""A client with grpcio: grpc_client.py CHECK URL. Fails with what is not as it should be."""

import sys
import threading
import time

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

check, url = sys.argv[1:]
# One channel is one connection; a proxy from the environment would be between.
channel = grpc.insecure_channel(url.removeprefix("http://"), options=[("grpc.enable_http_proxy", 0)])
unary = channel.unary_unary("/peers.Model/Unary")
fan_out = channel.unary_stream("/peers.Model/FanOut")
gather = channel.stream_unary("/peers.Model/Gather")
chat = channel.stream_stream("/peers.Model/Chat")


def failure(call):
    try:
        answer = call()
    except grpc.RpcError as error:
        return error
    raise AssertionError(f"answered: {answer!r}")


def metadata(entries):
    return {entry.key: entry.value for entry in entries}


def asks_the_health_service():
    service = health_pb2_grpc.HealthStub(channel)
    serving = health_pb2.HealthCheckResponse.SERVING
    assert service.Check(health_pb2.HealthCheckRequest(), timeout=20).status == serving
    watching = service.Watch(health_pb2.HealthCheckRequest(), timeout=20)
    assert next(watching).status == serving
    watching.cancel()
    unknown = failure(lambda: service.Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=20))
    assert unknown.code() == grpc.StatusCode.NOT_FOUND, unknown


def calls_with_metadata_at_both_ends():
    for message in [b"", b"hello", b"x" * (3 << 20)]:
        answer, call = unary.with_call(message, timeout=20)
        assert answer == message
        assert call.code() == grpc.StatusCode.OK
        assert metadata(call.initial_metadata())["x-initial"] == "first", call.initial_metadata()
        trailing = metadata(call.trailing_metadata())
        assert (trailing["x-trailing"], trailing["x-trailing-bin"]) == ("last", b"\x00\xff"), trailing


def reads_a_status_with_its_message():
    error = failure(lambda: unary(b"fail", timeout=20))
    assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "kein Modell „müde“ (100 %)"), error
    assert metadata(error.trailing_metadata())["x-trailing"] == "last", error


def reads_a_stream_to_its_status():
    call = fan_out(b"1000", timeout=20)
    assert [int(answer) for answer in call] == list(range(1000))
    assert (call.code(), metadata(call.trailing_metadata())) == (grpc.StatusCode.OK, {"x-trailing": "last"})
    call, heard = fan_out(b"3", timeout=20), []
    error = failure(lambda: [heard.append(answer) for answer in call])
    assert heard == [b"0", b"1", b"2"], heard
    assert (error.code(), error.details()) == (grpc.StatusCode.DATA_LOSS, "after three"), error


def sends_a_stream():
    assert gather((b"x" * 1000 for _ in range(500)), timeout=20) == b"500000"


def talks_in_turns():
    # Each is said only when the one before has come back: one that is kept back stays out for good.
    turn = threading.Semaphore(1)

    def sentences():
        for number in range(200):
            turn.acquire()
            yield b"%d" % number

    call, heard = chat(sentences(), timeout=20), 0
    for answer in call:
        assert answer == b"%d" % heard
        heard += 1
        turn.release()
    assert (heard, call.code()) == (200, grpc.StatusCode.OK)
    assert metadata(call.trailing_metadata())["x-trailing"] == "last"


def is_told_that_its_deadline_has_passed():
    # On a slow machine a call may need longer than that until it is at the model.
    for deadline in [0.5, 2, 8]:
        began = time.monotonic()
        error = failure(lambda: unary(b"hang", timeout=deadline))
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
        assert deadline - 0.1 < time.monotonic() - began < deadline + 10
        if unary(b"does anything hang?", timeout=20) == b"yes":
            assert unary(b"was anything cancelled?", timeout=20) == b"yes"
            return
    raise AssertionError("no call came to the model")


def cancels():
    call = unary.future(b"hang", timeout=60)
    assert unary(b"does anything hang?", timeout=20) == b"yes"
    call.cancel()
    assert unary(b"was anything cancelled?", timeout=20) == b"yes"


def makes_many_calls_at_once():
    calls = [unary.future(b"%d" % number, timeout=30) for number in range(240)]
    for number, call in enumerate(calls):
        assert call.result() == b"%d" % number


def is_refused():
    error = failure(lambda: unary(b"hello", timeout=20))
    assert error.code() == grpc.StatusCode.UNAVAILABLE, error
    assert error.details().startswith("queue-full: "), error
    # Trailers only: there was no head before them.
    assert not error.initial_metadata(), error.initial_metadata()
    trailing = metadata(error.trailing_metadata())
    assert trailing["rouse-reason"] == "queue-full" and 0 < int(trailing["retry-after"]), trailing


def is_told_that_nobody_has_that_name():
    error = failure(lambda: unary(b"hello", timeout=20))
    assert error.code() == grpc.StatusCode.NOT_FOUND, error
    assert error.details().startswith("unknown-host: ") and not error.initial_metadata(), error


def puts_a_limit_on_the_wait():
    began = time.monotonic()
    error = failure(lambda: unary(b"hello", timeout=0.5))
    # The deadline is over at both ends in the same moment, and either may be the first to say so.
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED or "waited-too-long" in error.details(), error
    assert 0.4 < time.monotonic() - began, error


def wakes_it():
    assert channel.unary_unary("/peers.Model/SetHealth")(b"on", timeout=20) == b"on"


globals()[check]()
