"""Benchmarks for asv; every class first checks that the answer is right."""

import sys
from pathlib import Path

# The dense implementation lies beside this folder and is what answers are checked against.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
