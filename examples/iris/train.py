"""Trains a classifier on the iris data that scikit-learn carries, and writes it to model.joblib beside this file.

    train.py
    train.py candidate.joblib 0.05     another file, and with another C: the larger, the closer to the data
"""

import sys
from pathlib import Path

import joblib
from sklearn.datasets import load_iris
from sklearn.svm import SVC

name, c = sys.argv[1:] or ("model.joblib", "1.0")
features, classes = load_iris(return_X_y=True)
model = SVC(C=float(c), gamma="scale").fit(features, classes)
path = Path(__file__).with_name(name)
joblib.dump(model, path)
print(f"trained: {model.score(features, classes):.1%} of {len(classes)} flowers right, written to {path.name}")
