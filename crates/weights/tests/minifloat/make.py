"""Writes values.tsv: the number of each code of the small floats, as ml_dtypes reads them.

    pip install ml_dtypes==0.6.0 numpy
    python make.py > values.tsv

`tests/minifloat.rs` compares. PyTorch 2.15 reads the same numbers of 8 bits.
"""

import ml_dtypes
import numpy

TYPES = {
    "F8_E4M3": ml_dtypes.float8_e4m3fn, "F8_E5M2": ml_dtypes.float8_e5m2, "F8_E4M3FNUZ": ml_dtypes.float8_e4m3fnuz,
    "F8_E5M2FNUZ": ml_dtypes.float8_e5m2fnuz, "F8_E8M0": ml_dtypes.float8_e8m0fnu,
}

print("# by make.py: type, code, number")
for name, dtype in TYPES.items():
    for code, number in enumerate(numpy.arange(256, dtype=numpy.uint8).view(dtype).astype(numpy.float64)):
        print(name, code, repr(float(number)), sep="\t")
# One number to a byte, in its lower half.
for code, number in enumerate(numpy.arange(16, dtype=numpy.uint8).view(ml_dtypes.float4_e2m1fn).astype(numpy.float64)):
    print("F4", code, repr(float(number)), sep="\t")
