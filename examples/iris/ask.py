"""Asks for the classes of all 150 flowers, in V2 over HTTP or gRPC, and prints them as a list in JSON.

    ask.py http HOST:PORT
    ask.py grpc HOST:PORT
"""

import json
import sys
import urllib.request

from sklearn.datasets import load_iris

PATIENCE = 120  # seconds: a model at zero starts first


def over_http(address, flowers):
    rows = {"name": "input-0", "shape": [len(flowers), 4], "datatype": "FP64", "data": flowers.ravel().tolist()}
    body = json.dumps({"inputs": [rows]}).encode()
    request = urllib.request.Request(f"http://{address}/v2/models/iris/infer", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.load(answer)["outputs"][0]["data"]


def over_grpc(address, flowers):
    import grpc
    from kserve.protocol.grpc import grpc_predict_v2_pb2 as v2
    from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

    rows = v2.ModelInferRequest.InferInputTensor(name="input-0", shape=[len(flowers), 4], datatype="FP64")
    rows.contents.fp64_contents.extend(flowers.ravel().tolist())
    with grpc.insecure_channel(address) as channel:
        request = v2.ModelInferRequest(model_name="iris", inputs=[rows])
        answer = GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=PATIENCE)
    contents = answer.outputs[0].contents
    return list(contents.int64_contents or contents.int_contents)


if __name__ == "__main__":
    protocol, address = sys.argv[1:]
    ask = {"http": over_http, "grpc": over_grpc}[protocol]
    print(json.dumps([int(klass) for klass in ask(address, load_iris().data)]))
