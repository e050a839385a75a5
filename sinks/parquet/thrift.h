/* SPDX-License-Identifier: Apache-2.0
 *
 * Thrift's compact protocol, as far as Parquet's metadata needs it: a writer, and a reader that
 * trusts nothing. Any thread.
 */
#ifndef TIDEGATE_SINKS_PARQUET_THRIFT_H
#define TIDEGATE_SINKS_PARQUET_THRIFT_H

#include "base/bytes.h"

enum thrift_type {
    THRIFT_STOP = 0,
    THRIFT_TRUE = 1,
    THRIFT_FALSE = 2,
    THRIFT_BYTE = 3,
    THRIFT_I16 = 4,
    THRIFT_I32 = 5,
    THRIFT_I64 = 6,
    THRIFT_DOUBLE = 7,
    THRIFT_BINARY = 8,
    THRIFT_LIST = 9,
    THRIFT_SET = 10,
    THRIFT_MAP = 11,
    THRIFT_STRUCT = 12,
};

enum { THRIFT_DEPTH_MAX = 16 };

/* ---- writer ---- */

struct thrift_writer {
    struct buffer *out;
    int16_t last[THRIFT_DEPTH_MAX]; /* field id written last, at each depth */
    int depth;
};

/* Begins the outermost struct; thrift_end ends it. */
struct thrift_writer thrift_writer_of(struct buffer *out);
void thrift_bool(struct thrift_writer *writer, int16_t id, bool value);
void thrift_i8(struct thrift_writer *writer, int16_t id, int8_t value);
void thrift_i16(struct thrift_writer *writer, int16_t id, int16_t value);
void thrift_i32(struct thrift_writer *writer, int16_t id, int32_t value);
void thrift_i64(struct thrift_writer *writer, int16_t id, int64_t value);
void thrift_binary(struct thrift_writer *writer, int16_t id, struct bytes value);
void thrift_struct(struct thrift_writer *writer, int16_t id); /* until thrift_end */
void thrift_list(struct thrift_writer *writer, int16_t id, enum thrift_type type, size_t count);
void thrift_end(struct thrift_writer *writer);
/* Items of a list, as many as it said. */
void thrift_item_bool(struct thrift_writer *writer, bool value);
void thrift_item_number(struct thrift_writer *writer, int64_t value); /* i16, i32, i64 */
void thrift_item_binary(struct thrift_writer *writer, struct bytes value);
void thrift_item_struct(struct thrift_writer *writer); /* until thrift_end */

/* ---- reader ---- */

/* A struct being read. `in` is shared by all structs of one text, so its sticky error is too. */
struct thrift_struct {
    struct reader *in;
    int16_t id; /* of the field last returned by thrift_next */
    enum thrift_type type;
    int depth;
};

struct thrift_struct thrift_struct_of(struct reader *in);
/* The next field, or false at the end or after an error (in->failed). Each field must be consumed
 * by one of the functions below or thrift_skip. */
bool thrift_next(struct thrift_struct *at);
/* A field of another type than asked for is an error. */
int64_t thrift_number(struct thrift_struct *at); /* byte, i16, i32, i64 */
bool thrift_flag(struct thrift_struct *at);
struct bytes thrift_bytes(struct thrift_struct *at);
struct thrift_struct thrift_inner(struct thrift_struct *at);
void thrift_skip(struct thrift_struct *at);
/* A list of `type`: its count, never more than the bytes that are left. */
size_t thrift_items(struct thrift_struct *at, enum thrift_type type);
/* Items, in order, as many as thrift_items said. */
int64_t thrift_next_number(struct thrift_struct *at);
bool thrift_next_flag(struct thrift_struct *at);
struct bytes thrift_next_bytes(struct thrift_struct *at);
struct thrift_struct thrift_next_struct(struct thrift_struct *at);

#endif
