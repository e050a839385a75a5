-- Tidegate: readings in ClickHouse 25.8. Run once, as a user who may create
-- tables: tidegate clickhouse ddl ... | clickhouse-client --multiquery
--
-- The gateway's user needs no more than this:
--   CREATE USER tidegate IDENTIFIED BY '...';
--   GRANT INSERT, SHOW COLUMNS ON default.readings TO tidegate;

CREATE TABLE IF NOT EXISTS default.readings
(
    vendor LowCardinality(String),
    device String CODEC(ZSTD(1)),
    metric LowCardinality(String),
    ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    value Nullable(Float64) CODEC(ZSTD(1)),
    unit LowCardinality(String),
    scale UInt8 CODEC(ZSTD(1)),
    quality LowCardinality(String),
    flags LowCardinality(String),
    time_source LowCardinality(String),
    seq UInt64 CODEC(Delta, ZSTD(1)),
    received DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    gateway LowCardinality(String),
    version UInt64 CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMMDD(ts)
ORDER BY (vendor, device, metric, ts)
SETTINGS index_granularity = 8192, non_replicated_deduplication_window = 1000;

CREATE VIEW IF NOT EXISTS default.readings_unique AS
SELECT vendor, device, metric, ts, value, unit, scale, quality, flags,
    time_source, seq, received, gateway
FROM default.readings FINAL
WHERE NOT has(splitByChar(',', toString(flags)), 'withdrawn')
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE VIEW IF NOT EXISTS default.readings_latest AS
SELECT vendor, device, metric, tupleElement(latest, 1) AS ts,
    tupleElement(latest, 2) AS value, tupleElement(latest, 3) AS unit,
    tupleElement(latest, 4) AS scale, tupleElement(latest, 5) AS quality,
    tupleElement(latest, 6) AS flags
FROM
(
    SELECT vendor, device, metric,
        argMax(tuple(ts, value, unit, scale, quality, flags), ts) AS latest
    FROM default.readings_unique
    GROUP BY vendor, device, metric
);
