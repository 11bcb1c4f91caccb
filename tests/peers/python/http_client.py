"""A client with httpx: http_client.py CHECK URL. Fails with what is not as it should be."""

import hashlib
import sys
import time

import httpx

check, url = sys.argv[1:]
client = httpx.Client(base_url=url, timeout=30, trust_env=False)


def ours(answer):
    """The client's end of the connection by which an answer came."""
    return answer.extensions["network_stream"].get_extra_info("client_addr")


def keeps_its_connection():
    used = set()
    for method in ["GET", "POST", "GET", "PUT", "GET"]:
        answer = client.request(method, "/")
        assert answer.status_code == 200, answer
        used.add(ours(answer))
    assert len(used) == 1, used


def streams_an_upload():
    piece, digest = bytes(range(256)) * 64, hashlib.sha256()

    def body():
        for _ in range(64):
            digest.update(piece)
            yield piece

    answer = client.post("/sum", content=body()).json()
    assert answer == {"bytes": 64 * len(piece), "sha256": digest.hexdigest(), "framing": "chunked"}, answer


def hears_each_event_at_once():
    # Each event but the first is sent only when the one before has been heard: one that is kept back stays out for good.
    with client.stream("GET", "/events") as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        heard = []
        for line in answer.iter_lines():
            if line:
                heard.append(line)
                httpx.post(f"{url}/go", trust_env=False)
        assert heard == ["data: 0", "data: 1", "data: 2"], heard


def hears_events_for_longer_than_four_seconds():
    began = time.monotonic()
    with client.stream("GET", "/events?8") as answer:
        heard = 0
        for line in answer.iter_lines():
            if line:
                heard += 1
                time.sleep(0.6)
                httpx.post(f"{url}/go", trust_env=False)
    assert heard == 8 and 4 < time.monotonic() - began, heard


def notices_a_cut_answer():
    try:
        answer = client.get("/cut")
    except httpx.RemoteProtocolError:
        return
    raise AssertionError(f"taken for a whole answer: {answer} {answer.text!r}")


def leaves_in_the_middle():
    with client.stream("GET", "/endless") as answer:
        for line in answer.iter_lines():
            assert line == "data: begun", line
            break
    deadline = time.monotonic() + 10
    while not client.get("/left").json():
        assert time.monotonic() < deadline, "the model still writes, 10 s after its client has left"
        time.sleep(0.02)


def is_refused_in_json():
    answer = client.post("/", json={"instances": [1]})
    assert answer.status_code == 503, answer
    assert answer.headers["content-type"] == "application/problem+json", answer.headers
    assert 0 < int(answer.headers["retry-after"]), answer.headers
    problem = answer.json()
    assert (problem["status"], problem["reason"]) == (503, "queue-full"), problem
    assert answer.headers["rouse-reason"] == "queue-full", answer.headers


globals()[check]()
