"""On which weekday does the thirteenth of a month fall most often?

The calendar repeats itself every 400 years, and these are no whole number of rounds of the days of
the week by month. Spark makes the months, and Python on the workers looks at each.
"""

import argparse
import datetime
import json
import os
import socket
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as of

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def weekday(year: int, month: int) -> str:
    return DAYS[datetime.date(year, month, 13).weekday()]


def session(master: str) -> SparkSession:
    """Open a session; executors call back at this pod's own address."""
    here = socket.gethostbyname(socket.gethostname())
    return (
        SparkSession.builder.master(master)
        .appName("thirteenth")
        .config("spark.driver.host", here)
        .config("spark.driver.bindAddress", "0.0.0.0")
        .config("spark.executor.memory", "512m")
        .config("spark.sql.shuffle.partitions", "4")
        .config("spark.ui.showConsoleProgress", "false")
        .getOrCreate()
    )


def main() -> None:
    env = os.environ.get
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--master", default=env("SPARK_MASTER", "spark://hub:7077"))
    parser.add_argument("--result", type=Path, default=Path("/home/data/spark/result.json"))
    options = parser.parse_args()
    with session(options.master) as spark:
        months = spark.range(0, 400 * 12, numPartitions=8).select(
            (of.col("id") / 12 + 1601).cast("int").alias("year"),
            (of.col("id") % 12 + 1).cast("int").alias("month"),
        )
        day = of.udf(weekday, "string", useArrow=False)("year", "month").alias("day")
        counts = {row["day"]: row["count"] for row in months.groupBy(day).count().collect()}
        where = spark.sparkContext.parallelize(range(16), 16).map(lambda _: socket.gethostname())
        hosts = sorted(set(where.collect()))
    most = max(counts, key=lambda name: counts[name])
    result = {"most": most, "counts": counts, "hosts": hosts}
    options.result.parent.mkdir(parents=True, exist_ok=True)
    options.result.write_text(json.dumps(result, indent=2) + "\n")
    print(f"{most}: {counts[most]} of {sum(counts.values())}", flush=True)


if __name__ == "__main__":
    main()
