// SPDX-License-Identifier: Apache-2.0

// The consumer that a good team writes by hand in Go: purchases from Kafka to one table, with the offsets in the
// transaction of the rows. One goroutine reads and decodes the next batch while another copies the last one.
//
//	copy    COPY into the table; an event that comes twice breaks its key and stops the program
//	staged  COPY to a temporary table, then INSERT … ON CONFLICT DO NOTHING; an event that comes twice has one row
//
// usage: rival copy|staged SESSIONS BROKERS CONNINFO SCHEMA_ID SCHEMA_FILE
package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"log"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/hamba/avro/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	topic      = "weir.commerce"
	batchRows  = 20000
	headerSize = 5 // of Confluent's framing: a zero, and the schema's id in four bytes

	setUp = "SET synchronous_commit = off; SET search_path = event_log_1; " +
		"CREATE TEMPORARY TABLE stage (LIKE event) ON COMMIT DELETE ROWS"
	readOffsets = "SELECT kafka_partition, next_offset FROM consumer_offset WHERE kafka_partition % $1 = $2"
	insertNew   = "INSERT INTO event SELECT * FROM stage ON CONFLICT DO NOTHING"
	moveOffset  = "UPDATE consumer_offset SET next_offset = $2 WHERE kafka_partition = $1"
)

var columns = []string{"event_id", "space_id", "occurred_at", "purchase_id", "buyer_id", "currency", "total"}

// id is a UUID that Avro reads from text and pgx writes as sixteen bytes.
type id [16]byte

func (i *id) UnmarshalText(text []byte) error {
	parsed, err := uuid.ParseBytes(text)
	*i = id(parsed)
	return err
}

func (i *id) UUIDValue() (pgtype.UUID, error) { return pgtype.UUID{Bytes: *i, Valid: true}, nil }

// purchase has the fields that are stored; Avro skips the others.
type purchase struct {
	Meta struct {
		EventID    id        `avro:"event_id"`
		OccurredAt time.Time `avro:"occurred_at"`
	} `avro:"meta"`
	Space      id     `avro:"-"`
	PurchaseID id     `avro:"purchase_id"`
	BuyerID    id     `avro:"buyer_id"`
	Currency   string `avro:"currency"`
	Total      int64  `avro:"total"`
}

// batch is rows, and the offsets to go on from once they are stored. It is also what COPY reads.
type batch struct {
	rows   []purchase
	next   map[int32]int64
	at     int
	values [7]any
}

func (b *batch) Next() bool { b.at++; return b.at <= len(b.rows) }
func (b *batch) Err() error { return nil }

func (b *batch) Values() ([]any, error) {
	row := &b.rows[b.at-1]
	b.values = [7]any{&row.Meta.EventID, &row.Space, row.Meta.OccurredAt, &row.PurchaseID, &row.BuyerID,
		row.Currency, row.Total}
	return b.values[:], nil
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// fill polls until the batch is full or nothing more has been fetched.
func (b *batch) fill(client *kgo.Client, schema avro.Schema, schemaID uint32) {
	b.rows, b.next, b.at = b.rows[:0], map[int32]int64{}, 0
	for len(b.rows) == 0 || (len(b.rows) < batchRows && client.BufferedFetchRecords() > 0) {
		fetches := client.PollRecords(context.Background(), batchRows-len(b.rows))
		check(fetches.Err())
		fetches.EachRecord(func(record *kgo.Record) {
			value := record.Value
			if len(value) < headerSize || value[0] != 0 || binary.BigEndian.Uint32(value[1:]) != schemaID {
				log.Fatalf("partition %d offset %d: not schema %d", record.Partition, record.Offset, schemaID)
			}
			b.rows = b.rows[:len(b.rows)+1]
			row := &b.rows[len(b.rows)-1]
			check(avro.Unmarshal(schema, value[headerSize:], row))
			check(row.Space.UnmarshalText(record.Key))
			b.next[record.Partition] = record.Offset + 1
		})
	}
}

// store writes the rows and moves the offsets in one transaction.
func (b *batch) store(ctx context.Context, conn *pgx.Conn, staged bool) {
	tx, err := conn.Begin(ctx)
	check(err)
	table := pgx.Identifier{"event"}
	if staged {
		table = pgx.Identifier{"stage"}
	}
	_, err = tx.CopyFrom(ctx, table, columns, b)
	check(err)
	if staged {
		_, err = tx.Exec(ctx, insertNew)
		check(err)
	}
	for partition, next := range b.next {
		_, err = tx.Exec(ctx, moveOffset, partition, next)
		check(err)
	}
	check(tx.Commit(ctx))
}

// offsets are those of the partitions that the session reads: every one whose number leaves its own.
func offsets(ctx context.Context, conn *pgx.Conn, session, sessions int) map[int32]kgo.Offset {
	from := map[int32]kgo.Offset{}
	rows, err := conn.Query(ctx, readOffsets, sessions, session)
	check(err)
	var partition int32
	var next int64
	_, err = pgx.ForEachRow(rows, []any{&partition, &next}, func() error {
		from[partition] = kgo.NewOffset().At(next)
		return nil
	})
	check(err)
	return from
}

func consume(mode string, session, sessions int, brokers, conninfo string, schemaID uint32, schema avro.Schema) {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, conninfo)
	check(err)
	_, err = conn.Exec(ctx, setUp)
	check(err)
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.FetchMaxPartitionBytes(4<<20),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets(ctx, conn, session, sessions)}))
	check(err)
	empty, full := make(chan *batch, 2), make(chan *batch)
	for range cap(empty) {
		empty <- &batch{rows: make([]purchase, 0, batchRows)}
	}
	go func() {
		for b := range empty {
			b.fill(client, schema, schemaID)
			full <- b
		}
	}()
	for b := range full {
		b.store(ctx, conn, mode == "staged")
		empty <- b
	}
}

func main() {
	if len(os.Args) != 7 || (os.Args[1] != "copy" && os.Args[1] != "staged") {
		fmt.Fprintln(os.Stderr, "usage: rival copy|staged SESSIONS BROKERS CONNINFO SCHEMA_ID SCHEMA_FILE")
		os.Exit(2)
	}
	debug.SetGCPercent(400)
	sessions, err := strconv.Atoi(os.Args[2])
	check(err)
	schemaID, err := strconv.ParseUint(os.Args[5], 10, 32)
	check(err)
	schema, err := avro.ParseFiles(os.Args[6])
	check(err)
	for session := range sessions {
		go consume(os.Args[1], session, sessions, os.Args[3], os.Args[4], uint32(schemaID), schema)
	}
	select {}
}
