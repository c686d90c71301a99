# SPDX-License-Identifier: Apache-2.0
"""Workload H in pandas: the same file into the same typed columns, by its C engine, one thread.

    h_pandas.py FILE
"""
import json
import os
import sys
import time

import pandas

TYPES = {"fare": "float32", "dayofweek": "str", "hourofday": "int64", "pickuplon": "float32", "pickuplat": "float32",
         "dropofflon": "float32", "dropofflat": "float32", "passengers": "float32", "latdiff": "float32", "londiff": "float32"}


def main():
    path = sys.argv[1]
    size = os.path.getsize(path)
    best = best_processor = 1e9
    for _ in range(3):
        start, used = time.perf_counter(), time.process_time()
        frame = pandas.read_csv(path, dtype=TYPES, engine="c")
        best = min(best, time.perf_counter() - start)
        best_processor = min(best_processor, time.process_time() - used)
    checksum = sum(float(frame[name].astype("float64").sum()) for name in TYPES if name != "dayofweek")
    checksum += float(frame["dayofweek"].str.len().sum())
    print(json.dumps({"workload": "H", "who": "pandas " + pandas.__version__, "rows": len(frame), "bytes": size,
                      "seconds": round(best, 4), "mb_s": round(size / best / 1e6, 1), "cpu_seconds": round(best_processor, 4),
                      "cpu_mb_s": round(size / best_processor / 1e6, 1), "checksum": round(checksum, 6)}))


if __name__ == "__main__":
    main()
