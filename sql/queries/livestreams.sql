-- SPDX-License-Identifier: Apache-2.0
-- The livestreams of a Space, the latest first. `ended_at` is null while one is on air.
--
-- reads: overview
-- answer: page of 20, at most 200
-- after started_at timestamptz = infinity
-- after stream_id uuid = ffffffff-ffff-ffff-ffff-ffffffffffff
SELECT stream_id, title, host_id, started_at, ended_at, duration_seconds, peak_viewers, chats, tips
FROM overview.stream
WHERE space_id = :space_id
  AND started_at IS NOT NULL
  AND (started_at, stream_id) < (:after_started_at, :after_stream_id)
ORDER BY started_at DESC, stream_id DESC
