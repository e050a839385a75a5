// SPDX-License-Identifier: Apache-2.0
package org.tidegate.examples;

import java.io.PrintStream;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.tidegate.v1.Reading;

/** Prints readings, one a line: BROKERS [TOPIC [COUNT]]; ends after COUNT. */
public final class ReadingConsumer {
  private ReadingConsumer() {}

  static String line(Reading reading) {
    // value is a double that anyone can sum; unscaled and scale are the exact decimal. Neither is there
    // for a null.
    String value =
        reading.hasValue()
            ? BigDecimal.valueOf(reading.getUnscaled(), reading.getScale()).toPlainString()
            : "null";
    return String.join(
        "\t",
        reading.getVendor(),
        reading.getDevice(),
        reading.getMetric(),
        Instant.ofEpochMilli(reading.getTs()).toString(),
        value,
        reading.getUnit(),
        reading.getQuality(),
        reading.getFlags(),
        reading.getTimeSource(),
        Long.toString(reading.getSeq()),
        reading.getGateway());
  }

  public static void main(String[] args) throws Exception {
    String topic = args.length > 1 ? args[1] : "water.reading.v1";
    long left = args.length > 2 ? Long.parseLong(args[2]) : Long.MAX_VALUE;
    Properties settings = new Properties();
    settings.put("bootstrap.servers", args[0]);
    settings.put("group.id", "reading-consumer-java");
    settings.put("auto.offset.reset", "earliest");
    // Java's default is read_uncommitted: with `delivery: exactly_once` it would see aborted readings.
    settings.put("isolation.level", "read_committed");
    PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
    try (KafkaConsumer<String, byte[]> consumer =
        new KafkaConsumer<>(settings, new StringDeserializer(), new ByteArrayDeserializer())) {
      consumer.subscribe(List.of(topic));
      while (left > 0) {
        for (ConsumerRecord<String, byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
          if (left-- > 0) {
            out.println(line(Reading.parseFrom(record.value())));
          }
        }
        out.flush();
      }
    }
  }
}
