"""A client with websockets: ws_client.py CHECK URL. Fails with what is not as it should be."""

import asyncio
import json
import os
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

check, url = sys.argv[1:]
url = url.replace("http://", "ws://")


def opened(path, **options):
    return connect(url + path, max_size=32 << 20, ping_interval=None, proxy=None, **options)


async def echoes():
    async with opened("/echo") as socket:
        for message in ["", "one", "zwölf", b"", bytes(range(256))]:
            await socket.send(message)
            assert await socket.recv() == message


async def says_nothing_for_three_seconds():
    async with opened("/echo") as socket:
        await asyncio.sleep(3)
        await socket.send("still here")
        assert await socket.recv() == "still here"


async def carries_large_frames():
    # Noise, so that no extension makes it small.
    message = os.urandom(8 << 20)
    async with opened("/echo", compression=None) as socket:
        await socket.send(message)
        assert await socket.recv() == message
        # One message in many frames.
        await socket.send(message[at : at + (64 << 10)] for at in range(0, len(message), 64 << 10))
        assert await socket.recv() == message


async def pings_both_ways():
    async with opened("/echo") as socket:
        await asyncio.wait_for(await socket.ping(b"from the client"), 10)
    async with opened("/ping") as socket:
        assert await asyncio.wait_for(socket.recv(), 10) == "you are"


async def says_why_it_closes():
    socket = await opened("/noted")
    await socket.send("one")
    await socket.recv()
    await socket.close(4001, "the client has had enough")
    async with opened("/ends") as socket:
        ends = json.loads(await socket.recv())
    assert ends == [[4001, "the client has had enough"]], ends


async def hears_why_it_is_closed():
    async with opened("/close") as socket:
        try:
            await socket.recv()
        except ConnectionClosed as closed:
            assert (closed.rcvd.code, closed.rcvd.reason) == (4002, "the model has had enough"), closed
            return
    raise AssertionError("it was not closed")


async def agrees_on_subprotocol_and_extension():
    async with opened("/headers", subprotocols=["v1.models", "v2.models"]) as socket:
        assert socket.subprotocol == "v2.models", socket.subprotocol
        assert socket.protocol.extensions, "compression is agreed on by the two ends"
        headers = {name.lower(): value for name, value in json.loads(await socket.recv()).items()}
    assert headers["connection"].lower() == "upgrade" and headers["upgrade"].lower() == "websocket", headers
    assert "x-forwarded-for" in headers and "x-request-id" in headers, headers


async def is_told_no():
    try:
        await opened("/forbidden")
    except InvalidStatus as refused:
        assert (refused.response.status_code, refused.response.body) == (403, b"not for you\n"), refused.response
        return
    raise AssertionError("it was let in")


asyncio.run(asyncio.wait_for(globals()[check](), 30))
