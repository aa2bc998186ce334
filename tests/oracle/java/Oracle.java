// SPDX-License-Identifier: Apache-2.0
//
// Apache Avro for Java as an oracle: the same cases and answers as decode.c. Schemas are parsed and values read by
// the library; aliases are applied as its readers do. The answer has Avro's own JSON as a text, so that nothing but the
// library writes its numbers, and says whether the library's own check finds the pair compatible.

import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import org.apache.avro.Schema;
import org.apache.avro.SchemaCompatibility;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.avro.io.JsonEncoder;

public class Oracle {
    private static final ObjectMapper MAPPER = new ObjectMapper();

    private static ObjectNode refusal(Throwable fault) {
        return MAPPER.createObjectNode().put("error", fault.getClass().getSimpleName() + ": " + fault.getMessage());
    }

    private static ObjectNode value(GenericDatumReader<Object> reader, Schema schema, byte[] data) throws Exception {
        BinaryDecoder decoder = DecoderFactory.get().binaryDecoder(data, null);
        Object value = reader.read(null, decoder);
        if (!decoder.isEnd()) {
            throw new IllegalArgumentException("bytes are left over");
        }
        ObjectNode answer = MAPPER.createObjectNode();
        GenericDatumWriter<Object> writer = new GenericDatumWriter<>(schema, GenericData.get());
        ByteArrayOutputStream text = new ByteArrayOutputStream();
        JsonEncoder json = EncoderFactory.get().jsonEncoder(schema, text);
        writer.write(value, json);
        json.flush();
        answer.put("text", text.toString(StandardCharsets.UTF_8));
        return answer;
    }

    private static ObjectNode answer(JsonNode test) {
        Schema written;
        Schema wanted;
        try {
            written = new Schema.Parser().parse(test.get("writer").toString());
            wanted = new Schema.Parser().parse(test.get("reader").toString());
        } catch (RuntimeException fault) {
            return refusal(fault);
        }
        ArrayNode values = MAPPER.createArrayNode();
        for (JsonNode hex : test.get("data")) {
            if (hex.isNull()) {
                values.add(MAPPER.createObjectNode().put("error", "not asked"));
                continue;
            }
            try {
                GenericDatumReader<Object> reader = new GenericDatumReader<>(written, wanted, GenericData.get());
                values.add(value(reader, wanted, HexFormat.of().parseHex(hex.asText())));
            } catch (Exception | StackOverflowError | OutOfMemoryError fault) {
                values.add(refusal(fault));
            }
        }
        ObjectNode answer = MAPPER.createObjectNode();
        answer.set("values", values);
        answer.put("compatible", SchemaCompatibility.checkReaderWriterCompatibility(wanted, written).getType()
            == SchemaCompatibility.SchemaCompatibilityType.COMPATIBLE);
        return answer;
    }

    public static void main(String[] arguments) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            out.println(MAPPER.writeValueAsString(answer(MAPPER.readTree(line))));
        }
        out.flush();
    }
}
