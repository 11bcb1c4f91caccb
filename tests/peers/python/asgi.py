"""A model under uvicorn: asgi.py [SECONDS], after which uvicorn closes idle connections; its own default is 5."""

import asyncio
import collections
import hashlib
import json
import os
import socket
import sys

import uvicorn

go = asyncio.Event()
begun = collections.Counter()
left = asyncio.Event()


async def pieces(receive):
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        yield message.get("body", b"")
        if not message.get("more_body"):
            return


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}

    async def head(kind, status=200):
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})

    async def body(data, more=True):
        await send({"type": "http.response.body", "body": data, "more_body": more})

    async def whole(value):
        await head(b"application/json")
        await body(json.dumps(value).encode(), more=False)

    match scope["path"]:
        case "/sum":
            digest, size = hashlib.sha256(), 0
            async for piece in pieces(receive):
                digest.update(piece)
                size += len(piece)
            await whole({"bytes": size, "sha256": digest.hexdigest(), "framing": headers.get("transfer-encoding")})
        case "/echo":
            await head(b"application/octet-stream")
            async for piece in pieces(receive):
                await body(piece)
            await body(b"", more=False)
        case "/begin":
            begun[headers["x-request-id"]] += 1
            async for _ in pieces(receive):
                pass
            await whole(headers["x-request-id"])
        case "/begun":
            await whole(begun)
        case "/events":
            await head(b"text/event-stream")
            for number in range(int(scope["query_string"] or b"3")):
                await body(f"data: {number}\n\n".encode())
                await go.wait()
                go.clear()
            await body(b"", more=False)
        case "/go":
            go.set()
            await whole(True)
        case "/cut":
            await head(b"text/plain")
            await body(b"the beginning, and ")
            raise RuntimeError("on purpose, in the middle of an answer")
        case "/endless":
            await head(b"text/event-stream")
            await body(b"data: begun\n\n")
            while (await receive())["type"] != "http.disconnect":
                pass
            left.set()
        case "/left":
            await whole(left.is_set())
        case _:
            await whole(headers)


listener = socket.create_server(("127.0.0.1", int(os.environ.get("PORT", "0"))))
seconds = int(sys.argv[1]) if 1 < len(sys.argv) else 5
print(f"listening on {listener.getsockname()[1]}", flush=True)
config = uvicorn.Config(app, log_level="critical", access_log=False, timeout_keep_alive=seconds, lifespan="off")
uvicorn.Server(config).run(sockets=[listener])
