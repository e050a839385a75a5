-- SPDX-License-Identifier: Apache-2.0
--
-- Readings in Flink SQL. On the class path: the connector for Kafka, flink-protobuf, and a jar with the
-- classes that protoc --java_out makes of reading.proto (deploy/examples/consumers/java builds them, with
-- a protoc as old as the library in Flink). Columns have the names of the fields. Those that are not
-- wanted can be left out.
CREATE TABLE reading (
  record_key  STRING,                       -- vendor/device: what the partition follows from
  vendor      STRING,
  device      STRING,
  metric      STRING,
  ts          BIGINT,
  `value`     DOUBLE,                       -- NULL where the gateway has none
  unit        STRING,
  scale       INT,
  quality     STRING,
  flags       STRING,
  time_source STRING,
  seq         BIGINT,
  received    BIGINT,
  gateway     STRING,
  unscaled    BIGINT,
  -- Times of devices come late and out of order. `received` never falls within one gateway.
  event_time  AS TO_TIMESTAMP_LTZ(ts, 3),
  WATERMARK FOR event_time AS event_time - INTERVAL '15' MINUTE
) WITH (
  'connector' = 'kafka',
  'topic' = 'water.reading.v1',
  'properties.bootstrap.servers' = 'localhost:9092',
  'properties.group.id' = 'flink-reading',
  'properties.isolation.level' = 'read_committed',   -- Java's default is read_uncommitted
  'scan.startup.mode' = 'group-offsets',
  'properties.auto.offset.reset' = 'earliest',
  'key.format' = 'raw',
  'key.fields' = 'record_key',
  'value.fields-include' = 'EXCEPT_KEY',
  'value.format' = 'protobuf',
  'value.protobuf.message-class-name' = 'org.tidegate.v1.Reading'
);

-- A record may come twice with `delivery: at_least_once`, and a reading that was decoded again comes
-- with the same key. The last one wins.
CREATE VIEW latest AS
SELECT * FROM (
  SELECT *, ROW_NUMBER() OVER (
    PARTITION BY vendor, device, metric, ts ORDER BY received DESC, seq DESC) AS place
  FROM reading)
WHERE place = 1;

-- Pressure of the last hour, as the dispatchers see it.
SELECT vendor, device, window_end, AVG(`value`) AS kpa, COUNT(`value`) AS readings
FROM TABLE(TUMBLE(TABLE reading, DESCRIPTOR(event_time), INTERVAL '1' HOUR))
WHERE metric = 'pressure' AND quality <> 'bad'
GROUP BY vendor, device, window_start, window_end;
