// SPDX-License-Identifier: Apache-2.0

// Prints readings, one a line: consumer BROKERS [TOPIC [COUNT]]; ends after COUNT.
//
// The message is read by reading.desc, which is installed beside reading.proto, so that no code has to
// be generated; TIDEGATE_SCHEMA names the folder. Programs that know the schema when they are built
// use protoc-gen-go instead.
package main

import (
	"bufio"
	"context"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "consumer:", err)
		os.Exit(1)
	}
}

func readingType() protoreflect.MessageType {
	folder := os.Getenv("TIDEGATE_SCHEMA")
	if folder == "" {
		folder = "/usr/local/share/tidegate"
	}
	bytes, err := os.ReadFile(filepath.Join(folder, "reading.desc"))
	check(err)
	var set descriptorpb.FileDescriptorSet
	check(proto.Unmarshal(bytes, &set))
	files, err := protodesc.NewFiles(&set)
	check(err)
	found, err := files.FindDescriptorByName("tidegate.v1.Reading")
	check(err)
	return dynamicpb.NewMessageType(found.(protoreflect.MessageDescriptor))
}

// decimal is unscaled * 10^-scale, exactly.
func decimal(unscaled int64, scale uint64) string {
	text := new(big.Rat).SetFrac(big.NewInt(unscaled),
		new(big.Int).Exp(big.NewInt(10), new(big.Int).SetUint64(scale), nil))
	return text.FloatString(int(scale))
}

func line(reading protoreflect.Message) string {
	fields := reading.Descriptor().Fields()
	field := func(name protoreflect.Name) protoreflect.Value { return reading.Get(fields.ByName(name)) }
	// value is a double that anyone can sum; unscaled and scale are the exact decimal. Neither is
	// there for a null.
	value := "null"
	if reading.Has(fields.ByName("value")) {
		value = decimal(field("unscaled").Int(), field("scale").Uint())
	}
	stamp := time.UnixMilli(field("ts").Int()).UTC().Format("2006-01-02T15:04:05.000Z")
	return strings.Join([]string{field("vendor").String(), field("device").String(), field("metric").String(),
		stamp, value, field("unit").String(), field("quality").String(), field("flags").String(),
		field("time_source").String(), strconv.FormatInt(field("seq").Int(), 10), field("gateway").String()}, "\t")
}

func main() {
	topic, left := "water.reading.v1", -1
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: consumer BROKERS [TOPIC [COUNT]]")
		os.Exit(2)
	}
	if len(os.Args) > 2 {
		topic = os.Args[2]
	}
	if len(os.Args) > 3 {
		count, err := strconv.Atoi(os.Args[3])
		check(err)
		left = count
	}
	reading := readingType()
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(os.Args[1], ",")...),
		kgo.ConsumerGroup("reading-consumer-go"),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		// Not the default: with `delivery: exactly_once` it would see aborted readings.
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
	)
	check(err)
	defer client.Close()
	out := bufio.NewWriter(os.Stdout)
	for left != 0 {
		fetches := client.PollFetches(context.Background())
		fetches.EachError(func(_ string, _ int32, err error) { check(err) })
		fetches.EachRecord(func(record *kgo.Record) {
			if left == 0 {
				return
			}
			left--
			message := reading.New()
			check(proto.Unmarshal(record.Value, message.Interface()))
			fmt.Fprintln(out, line(message))
		})
		check(out.Flush())
	}
}
