-- SPDX-License-Identifier: Apache-2.0
--
-- Tells the gateway how far the processors are with an event. The gateway sees no table of the control schema.

CREATE OR REPLACE FUNCTION weir.receipt_outcome(readers text[], topics text[], partitions integer[], offsets bigint[],
                                     spaces uuid[])
RETURNS TABLE (number bigint, processor text, next_offset bigint, outcome text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT r.number, p.processor, coalesce(o.next_offset, 0),
           CASE WHEN o.next_offset IS NULL OR o.next_offset <= r.kafka_offset THEN 'behind'
                WHEN EXISTS (SELECT FROM weir.parked w
                             WHERE w.position_id = o.position_id AND w.space_id = r.space_id
                               AND w.kafka_offset = r.kafka_offset)
                    THEN 'parked'
                WHEN EXISTS (SELECT FROM weir.dead_letter d
                             WHERE d.position_id = o.position_id AND d.kafka_offset = r.kafka_offset
                               AND d.space_id = r.space_id AND d.state IN ('open', 'discarded', 'patched'))
                    THEN 'dead-lettered'
                ELSE 'applied' END
    FROM unnest(readers, topics, partitions, offsets, spaces)
         WITH ORDINALITY AS r (reads, topic, kafka_partition, kafka_offset, space_id, number)
    JOIN weir.processor p ON p.processor = ANY (string_to_array(r.reads, ','))
    LEFT JOIN weir.position o ON (o.processor, o.generation, o.topic, o.kafka_partition)
                               = (p.processor, p.generation, r.topic, r.kafka_partition)
    WHERE o.position_id IS NOT NULL
       OR EXISTS (SELECT FROM weir.schema s
                  WHERE 'weir.' || s.domain = r.topic
                    AND s.event = ANY (regexp_split_to_array(p.consumes, '[^A-Za-z0-9_]+')))
    ORDER BY r.number, p.processor
$$;
COMMENT ON FUNCTION weir.receipt_outcome IS 'For each receipt, and each of its readers that consumes the topic: behind, applied, parked or dead-lettered';

REVOKE ALL ON FUNCTION weir.receipt_outcome FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir.receipt_outcome TO weir_gateway;
