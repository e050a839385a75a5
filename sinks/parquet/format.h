/* SPDX-License-Identifier: Apache-2.0
 *
 * The numbers of the Parquet format that we use, as in parquet.thrift of apache/parquet-format 2.10.
 */
#ifndef TIDEGATE_SINKS_PARQUET_FORMAT_H
#define TIDEGATE_SINKS_PARQUET_FORMAT_H

#define PARQUET_MAGIC "PAR1"

enum parquet_type { TYPE_INT32 = 1, TYPE_INT64 = 2, TYPE_DOUBLE = 5, TYPE_BYTE_ARRAY = 6 };

enum parquet_repetition { REPETITION_REQUIRED = 0, REPETITION_OPTIONAL = 1 };

enum parquet_converted {
    CONVERTED_NONE = -1,
    CONVERTED_UTF8 = 0,
    CONVERTED_TIMESTAMP_MILLIS = 9,
    CONVERTED_INT_8 = 15,
    CONVERTED_INT_64 = 18,
};

enum parquet_encoding {
    ENCODING_PLAIN = 0,
    ENCODING_PLAIN_DICTIONARY = 2,
    ENCODING_RLE = 3,
    ENCODING_BIT_PACKED = 4,
    ENCODING_DELTA_BINARY_PACKED = 5,
    ENCODING_RLE_DICTIONARY = 8,
};

enum parquet_codec { CODEC_UNCOMPRESSED = 0, CODEC_ZSTD = 6 };

enum parquet_page { PAGE_DATA = 0, PAGE_INDEX = 1, PAGE_DICTIONARY = 2, PAGE_DATA_V2 = 3 };

enum parquet_boundary { BOUNDARY_UNORDERED = 0, BOUNDARY_ASCENDING = 1, BOUNDARY_DESCENDING = 2 };

#endif
