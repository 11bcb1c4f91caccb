"""A model with websockets: ws_server.py. It echoes; what it does besides is asked for in the path."""

import asyncio
import http
import json
import os

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

# How the connections to /noted ended, as this side saw it.
ends = []


async def handle(socket):
    match socket.request.path:
        case "/close":
            await socket.close(4002, "the model has had enough")
        case "/ends":
            await socket.send(json.dumps(ends))
        case "/ping":
            # It answers only who answers.
            await (await socket.ping(b"are you there"))
            await socket.send("you are")
        case "/headers":
            await socket.send(json.dumps(dict(socket.request.headers.raw_items())))
        case path:
            try:
                async for message in socket:
                    await socket.send(message)
            except ConnectionClosed:
                pass
            if path == "/noted":
                ends.append([socket.close_code, socket.close_reason])


def gate(connection, request):
    if request.path == "/forbidden":
        return connection.respond(http.HTTPStatus.FORBIDDEN, "not for you\n")


def choose(connection, offered):
    return "v2.models" if "v2.models" in offered else None


async def main():
    port = int(os.environ.get("PORT", "0"))
    # Its own pings are for its own tests: here only those that a test asks for are to be seen.
    options = {"max_size": 32 << 20, "ping_interval": None, "process_request": gate}
    async with serve(handle, "127.0.0.1", port, select_subprotocol=choose, **options) as server:
        print(f"listening on {server.sockets[0].getsockname()[1]}", flush=True)
        await server.serve_forever()


asyncio.run(main())
