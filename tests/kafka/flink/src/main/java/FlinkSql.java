// SPDX-License-Identifier: Apache-2.0

import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.api.TableResult;
import org.apache.flink.types.Row;
import org.apache.flink.util.CloseableIterator;

/**
 * Runs the statements of a file against BROKERS, each topic up to its present end, and then one more
 * whose rows it prints, a line each, columns parted by tabs: FILE BROKERS QUERY.
 */
public final class FlinkSql {
  private FlinkSql() {}

  static void print(TableResult result) throws Exception {
    try (CloseableIterator<Row> rows = result.collect()) {
      while (rows.hasNext()) {
        Row row = rows.next();
        StringBuilder line = new StringBuilder();
        for (int i = 0; i < row.getArity(); i++) {
          line.append(i == 0 ? "" : "\t").append(row.getField(i));
        }
        System.out.println(line);
      }
    }
  }

  public static void main(String[] args) throws Exception {
    String file =
        Files.readString(Path.of(args[0]))
            .replace("localhost:9092", args[1])
            .replace(
                "'scan.startup.mode' = 'group-offsets'",
                "'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset'")
            .replaceAll("(?m)--.*$", "");
    TableEnvironment environment =
        TableEnvironment.create(EnvironmentSettings.newInstance().inStreamingMode().build());
    for (String statement : file.split(";")) {
      if (!statement.isBlank()) {
        TableResult result = environment.executeSql(statement);
        result.collect().close(); // a query of the file only has to be one
      }
    }
    print(environment.executeSql(args[2]));
  }
}
