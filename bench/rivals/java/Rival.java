// SPDX-License-Identifier: Apache-2.0

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.SynchronousQueue;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyIn;

/**
 * The consumer that a good team writes by hand in Java: purchases from Kafka to one table, with the offsets in the
 * transaction of the rows. One thread reads and decodes the next batch while another copies the last one.
 *
 * <ul>
 *   <li>copy: COPY into the table; an event that comes twice breaks its key and stops the program
 *   <li>staged: COPY to a temporary table, then INSERT … ON CONFLICT DO NOTHING; an event that comes twice
 *       has one row
 * </ul>
 */
final class Rival {
    private static final String TOPIC = "weir.commerce";
    private static final int BATCH_ROWS = 20000;
    private static final int ROW_BYTES_MAX = 256;
    private static final int HEADER_SIZE = 5; // of Confluent's framing: a zero, and the schema's id in four bytes
    private static final long POSTGRES_EPOCH_US = 946684800000000L;
    private static final byte[] COPY_START = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0".getBytes(StandardCharsets.ISO_8859_1);

    /** The fields that are stored; Avro skips the others. */
    private static final String STORED =
            """
            {"type": "record", "name": "ProductPurchased", "namespace": "weir.commerce", "fields": [
              {"name": "meta", "type": {"type": "record", "name": "Meta", "namespace": "weir", "fields": [
                {"name": "event_id", "type": "string"}, {"name": "occurred_at", "type": "long"}]}},
              {"name": "purchase_id", "type": "string"}, {"name": "buyer_id", "type": "string"},
              {"name": "currency", "type": "string"}, {"name": "total", "type": "long"}]}
            """;

    /** Rows in COPY's binary form, and the offsets to go on from once they are stored. */
    private static final class Batch {
        final ByteBuffer rows = ByteBuffer.allocate(BATCH_ROWS * ROW_BYTES_MAX);
        final Map<Integer, Long> next = new HashMap<>();

        private void putId(CharSequence text) {
            UUID id = UUID.fromString(text.toString());
            rows.putInt(16).putLong(id.getMostSignificantBits()).putLong(id.getLeastSignificantBits());
        }

        void put(ConsumerRecord<byte[], byte[]> record, GenericRecord event) {
            GenericRecord meta = (GenericRecord) event.get(0);
            byte[] currency = event.get(3).toString().getBytes(StandardCharsets.UTF_8);
            rows.putShort((short) 7);
            putId((CharSequence) meta.get(0));
            putId(new String(record.key(), StandardCharsets.ISO_8859_1));
            rows.putInt(8).putLong((Long) meta.get(1) - POSTGRES_EPOCH_US);
            putId((CharSequence) event.get(1));
            putId((CharSequence) event.get(2));
            rows.putInt(currency.length).put(currency);
            rows.putInt(8).putLong((Long) event.get(4));
            next.put(record.partition(), record.offset() + 1);
        }

        /** Writes the rows and moves the offsets in one transaction. */
        void store(Connection connection, boolean staged) throws Exception {
            String copy = "COPY " + (staged ? "stage" : "event") + " FROM STDIN (FORMAT binary)";
            CopyIn in = connection.unwrap(PGConnection.class).getCopyAPI().copyIn(copy);
            in.writeToCopy(rows.array(), 0, rows.putShort((short) -1).position());
            in.endCopy();
            if (staged) {
                try (var insert = connection.createStatement()) {
                    insert.executeUpdate("INSERT INTO event SELECT * FROM stage ON CONFLICT DO NOTHING");
                }
            }
            String move = "UPDATE consumer_offset SET next_offset = ? WHERE kafka_partition = ?";
            try (var update = connection.prepareStatement(move)) {
                for (var entry : next.entrySet()) {
                    update.setLong(1, entry.getValue());
                    update.setInt(2, entry.getKey());
                    update.addBatch();
                }
                update.executeBatch();
            }
            connection.commit();
        }
    }

    private final KafkaConsumer<byte[], byte[]> consumer;
    private final Connection connection;
    private final int schemaId;
    private final GenericDatumReader<GenericRecord> reader;
    private final BlockingQueue<Batch> empty = new ArrayBlockingQueue<>(2);
    private final BlockingQueue<Batch> full = new SynchronousQueue<>();

    /** The session reads every partition whose number leaves its own when divided by that of the sessions. */
    Rival(int session, int sessions, String brokers, String url, int schemaId, Schema written) throws Exception {
        this.schemaId = schemaId;
        reader = new GenericDatumReader<>(written, new Schema.Parser().parse(STORED));
        connection = DriverManager.getConnection(url);
        connection.setAutoCommit(false);
        consumer = new KafkaConsumer<>(
                Map.of("bootstrap.servers", brokers, "max.poll.records", BATCH_ROWS, "max.partition.fetch.bytes", 4 << 20,
                        "enable.auto.commit", false),
                new ByteArrayDeserializer(), new ByteArrayDeserializer());
        Map<TopicPartition, Long> from = new HashMap<>();
        try (var setup = connection.createStatement()) {
            setup.execute("SET synchronous_commit = off; SET search_path = event_log_1; "
                    + "CREATE TEMPORARY TABLE stage (LIKE event) ON COMMIT DELETE ROWS");
            var rows = setup.executeQuery("SELECT kafka_partition, next_offset FROM consumer_offset "
                    + "WHERE kafka_partition % " + sessions + " = " + session);
            while (rows.next()) {
                from.put(new TopicPartition(TOPIC, rows.getInt(1)), rows.getLong(2));
            }
        }
        connection.commit();
        consumer.assign(List.copyOf(from.keySet()));
        from.forEach(consumer::seek);
        empty.add(new Batch());
        empty.add(new Batch());
    }

    private void read() throws Exception {
        BinaryDecoder decoder = null;
        GenericRecord event = null;
        while (true) {
            Batch batch = empty.take();
            batch.rows.clear().put(COPY_START);
            batch.next.clear();
            while (batch.next.isEmpty()) {
                for (var record : consumer.poll(Duration.ofSeconds(1))) {
                    ByteBuffer value = ByteBuffer.wrap(record.value());
                    if (value.remaining() < HEADER_SIZE || value.get() != 0 || value.getInt() != schemaId) {
                        throw new IllegalStateException("offset " + record.offset() + ": not schema " + schemaId);
                    }
                    decoder = DecoderFactory.get().binaryDecoder(record.value(), HEADER_SIZE, value.remaining(), decoder);
                    event = reader.read(event, decoder);
                    batch.put(record, event);
                }
            }
            full.put(batch);
        }
    }

    private void write(boolean staged) throws Exception {
        while (true) {
            Batch batch = full.take();
            batch.store(connection, staged);
            empty.put(batch);
        }
    }

    /** Work of a thread, with an error of which the whole program ends. */
    private interface Work {
        void run() throws Exception;
    }

    private static void start(Work work) {
        new Thread(() -> {
            try {
                work.run();
            } catch (Throwable failure) {
                System.err.println(failure);
                Runtime.getRuntime().halt(1);
            }
        }).start();
    }

    public static void main(String[] words) throws Exception {
        if (words.length != 6 || !(words[0].equals("copy") || words[0].equals("staged"))) {
            System.err.println("usage: rival copy|staged SESSIONS BROKERS JDBC_URL SCHEMA_ID SCHEMA_FILE");
            System.exit(2);
        }
        int sessions = Integer.parseInt(words[1]);
        Schema written = new Schema.Parser().parse(Files.readString(Path.of(words[5])));
        for (int session = 0; session < sessions; session++) {
            Rival rival = new Rival(session, sessions, words[2], words[3], Integer.parseInt(words[4]), written);
            start(rival::read);
            start(() -> rival.write(words[0].equals("staged")));
        }
    }
}
