"""Requests at intervals at which the server closes idle connections: keep_alive.py URL INTERVAL SECONDS CLIENTS METHOD.

Says how many were answered, and fails unless each was answered 200 and begun once; GET and PUT may be begun twice."""

import asyncio
import random
import sys
import uuid

import httpx

url, interval, seconds, clients, method = sys.argv[1:]
interval, seconds, clients = float(interval), float(seconds), int(clients)
sent, lost = [], []


async def ask():
    clock = asyncio.get_running_loop()
    # The client keeps its own connection: what may be closed under a request is the one behind.
    limits = httpx.Limits(keepalive_expiry=None)
    async with httpx.AsyncClient(timeout=30, trust_env=False, limits=limits) as client:
        end = clock.time() + seconds
        while clock.time() < end:
            name = uuid.uuid4().hex
            sent.append(name)
            try:
                answer = await client.request(method, f"{url}/begin", content=b"x" * 200, headers={"x-request-id": name})
                if answer.status_code != 200 or answer.json() != name:
                    lost.append((name, answer.status_code, answer.text))
            except httpx.HTTPError as error:
                lost.append((name, repr(error)))
            # Around it, to the millisecond: before, at, and after the close.
            await asyncio.sleep(interval + random.uniform(-0.004, 0.004))


async def main():
    await asyncio.gather(*(ask() for _ in range(clients)))
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        begun = (await client.get(f"{url}/begun")).json()
    never = [name for name in sent if begun.get(name, 0) == 0]
    twice = [name for name in sent if 1 < begun.get(name, 0)]
    print(f"sent {len(sent)}, lost {len(lost)}, never begun {len(never)}, begun twice {len(twice)}")
    for loss in lost[:10]:
        print(loss)
    return bool(lost or never or (twice and method == "POST"))


sys.exit(asyncio.run(main()))
