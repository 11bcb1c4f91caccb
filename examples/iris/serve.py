"""Serves model.joblib, or what MODEL names, with KServe's own Python server: V1 and V2 over HTTP.

The kserve package has no scikit-learn server, so this is the model class it asks for. Its gRPC port would be shared
silently by two replicas on one machine (SO_REUSEPORT), so gRPC is off: see --enable_grpc in iris.yaml.
"""

import os
from pathlib import Path

import joblib
import kserve
from kserve.utils.utils import get_predict_input, get_predict_response


class Iris(kserve.Model):
    def load(self):
        self.classifier = joblib.load(Path(__file__).with_name(os.environ.get("MODEL", "model.joblib")))
        self.ready = True
        return self.ready

    def predict(self, payload, headers=None, response_headers=None):
        flowers = get_predict_input(payload)
        return get_predict_response(payload, self.classifier.predict(flowers), self.name)


if __name__ == "__main__":
    iris = Iris("iris")
    iris.load()
    kserve.ModelServer().start([iris])
