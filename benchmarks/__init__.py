"""Commands that measure; the README's figures come from them. ``make bench`` runs all."""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before any of them imports ONNX Runtime
