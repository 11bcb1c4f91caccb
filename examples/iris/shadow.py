"""Asks an endpoint for the classes of 1,000 flowers, one by one, and holds the agreement that its shadow is said to have
against the one that both models, asked here, have on the same flowers.

    shadow.py HOST:PORT ADMIN_HOST:PORT
"""

import json
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy
from sklearn.datasets import load_iris

FLOWERS = 1000
AT_ONCE = 4
PATIENCE = 120  # seconds: a model at zero starts first


def get(url, body=None):
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.load(answer)


def main(address, admin):
    # Known flowers, and a little beside them: where classes meet, models differ.
    dice = numpy.random.default_rng(7)
    known = load_iris().data
    flowers = (known[dice.integers(len(known), size=FLOWERS)] + dice.normal(0, 0.3, (FLOWERS, 4))).round(2)
    here = Path(__file__)
    used, candidate = (joblib.load(here.with_name(name)).predict(flowers) for name in ("model.joblib", "candidate.joblib"))
    offline = int((used == candidate).sum())

    def ask(flower):
        rows = {"name": "input-0", "shape": [1, 4], "datatype": "FP64", "data": flower.tolist()}
        answer = get(f"http://{address}/v2/models/iris/infer", json.dumps({"inputs": [rows]}).encode())
        return answer["outputs"][0]["data"][0]

    def until_compared(count):
        deadline = time.monotonic() + PATIENCE
        while True:
            shadow = get(f"http://{admin}/api/v1/shadows")["shadows"][0]
            compared = shadow["compared"]
            if compared["alike"] + compared["different"] == count or deadline < time.monotonic():
                return shadow
            time.sleep(0.1)

    # The first one wakes both. While the candidate loads, only so many copies wait for it, and the rest would be dropped.
    begin = time.monotonic()
    answered = [ask(flowers[0])]
    until_compared(1)
    print(f"both are awake after {time.monotonic() - begin:.1f} s")
    begin = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as asking:
        answered += asking.map(ask, flowers[1:])
    took = time.monotonic() - begin
    wrong = sum(int(got) != int(right) for got, right in zip(answered, used))
    print(f"{FLOWERS} flowers in {took:.1f} s, {wrong} of them not answered as the model in use answers")

    shadow = until_compared(FLOWERS)
    compared = shadow["compared"]
    copies = {how: count for how, count in shadow["copies"].items() if count}
    print(f"copies: {copies}, not compared: {compared['notCompared']}")
    print(f"agreement by /api/v1/shadows: {compared['agreement']:.4f} ({compared['alike']} of {FLOWERS})")
    print(f"agreement of the two models here: {offline / FLOWERS:.4f} ({offline} of {FLOWERS})")
    for one in compared["disagreements"][-3:]:
        print(f"  {one['time']} {one['requestId']}: {', '.join(one['differences'])}")
    sys.exit(0 if wrong == 0 and compared["alike"] == offline and compared["different"] == FLOWERS - offline else 1)


if __name__ == "__main__":
    main(*sys.argv[1:])
