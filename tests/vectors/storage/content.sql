-- Content for an empty database of the current version: a bit of everything that a file may hold, and all of it in order.
BEGIN;
UPDATE meta SET value = 987654321987 WHERE key = 'cursor_epoch';
UPDATE meta SET value = 12 WHERE key = 'generation';
-- plain; trimmed ones that wait to be deleted (seq 1 and 2); a last value that outlived its log; idle; only retained
INSERT INTO topic (id, name, epoch, head, first, bytes, born_seq, floor_seq, trimmed_seq, max_count, max_bytes,
  max_age_ms, last_value) VALUES
  (1, CAST('all/kinds' AS BLOB), 1234567890123, 9, 1, 890, 0, 0, 0, 100, 0, 0, 1),
  (3, CAST('cut/short' AS BLOB), 9007199254740991, 4, 3, 230, 0, 1, 3, 2, 65536, 600000, 0),
  (4, CAST('last/value' AS BLOB), 77, 2, 3, 0, 4, 0, 16, 0, 0, 1000, 1),
  (8, CAST('idle' AS BLOB), 88, 5, 6, 0, 9, 8, 5, 0, 0, 0, 0),
  (9, CAST('größe/only retained' AS BLOB), 99, 0, 1, 0, 17, 0, 0, 0, 0, 0, 0);
INSERT INTO message (seq, topic, offset, ts, max_ts, expires, size, kind, form, flags, publisher, key, reply, headers,
  payload) VALUES
  (1, 3, 1, 1700000000001, NULL, NULL, 110, 0, 1, 0, NULL, NULL, NULL, NULL, CAST('1' AS BLOB)),
  (3, 3, 2, 1700000000001, NULL, NULL, 110, 0, 1, 0, NULL, NULL, NULL, NULL, CAST('2' AS BLOB)),
  (6, 1, 1, 1700000000009, NULL, NULL, 100, 0, 1, 0, 9223372036854775807, NULL, NULL, NULL,
    CAST('{"n":12345678901234567890,"f":1.10,"e":1E+2,"nested":[{"a":null}]}' AS BLOB)),
  (7, 1, 2, 1700000000002, 1700000000009, NULL, 100, 1, 1, 1, 2, CAST('key' AS BLOB), CAST('reply/to' AS BLOB), NULL,
    CAST('"\u0000 \ud83d\ude00 \ud800 end"' AS BLOB)),
  (8, 3, 3, 1700000000010, NULL, 4102444800000, 110, 1, 0, 0, NULL, X'', NULL, NULL, X'6100620a22'),
  (9, 1, 3, 1700000000011, NULL, NULL, 100, 2, 0, 0, NULL, X'fffe00', NULL, X'01006e0200763a00000300582d59', X'00ff10c3'),
  (10, 1, 4, 1700000000012, NULL, NULL, 100, 2, 0, 0, NULL, NULL, NULL, X'01006e01', NULL),
  (11, 1, 5, 1700000000013, NULL, NULL, 90, 3, 0, 0, NULL, NULL, NULL, X'', X''),
  (12, 1, 6, 1700000000014, NULL, NULL, 100, 0, 2, 0, NULL, NULL, NULL, NULL, X'a1616101'),
  (13, 3, 4, 1700000000015, NULL, NULL, 120, 0, 1, 0, NULL, NULL, NULL, NULL, CAST('[1,' || char(10) || '2]' AS BLOB)),
  (14, 1, 7, 1700000000016, NULL, NULL, 0, 1, 0, 2, NULL, NULL, NULL, NULL, NULL),
  (16, 4, 2, 1700000000017, NULL, NULL, 100, 0, 1, 0, NULL, NULL, NULL, NULL, CAST('"last"' AS BLOB)),
  (20, 1, 8, 1700000000018, NULL, NULL, 200, 0, 1, 0, NULL, NULL, NULL, NULL,
    CAST(replace(printf('%.*c', 64, '['), '[', '[') || replace(printf('%.*c', 64, ']'), ']', ']') AS BLOB)),
  (21, 1, 9, 1700000000019, NULL, NULL, 100, 3, 0, 0, NULL, NULL, NULL, NULL, CAST('untyped ü' AS BLOB));
INSERT INTO retained (topic, place, seq, offset, ts, expires, size, kind, form, flags, publisher, key, reply, headers,
  payload) VALUES
  (1, 7, 7, 2, 1700000000002, NULL, 100, 1, 1, 1, 2, CAST('key' AS BLOB), CAST('reply/to' AS BLOB), NULL, CAST('"x"' AS BLOB)),
  (9, 17, 0, 0, 1700000000030, 4102444800000, 90, 0, 1, 1, NULL, NULL, NULL, NULL, CAST('false' AS BLOB));
INSERT INTO mirror (name, seq, offset, ts, expires, size, kind, form, flags, publisher, key, reply, headers, payload) VALUES
  (CAST('z/first' AS BLOB), 0, 0, 1700000000040, NULL, 90, 0, 1, 1, 4, NULL, NULL, NULL, CAST('1e400' AS BLOB)),
  (CAST('a/second' AS BLOB), 5, 6, 1700000000041, NULL, 90, 2, 0, 1, 4, NULL, NULL, NULL, X'80');
INSERT INTO dedup VALUES (1, CAST('once' AS BLOB), 3, 2, 1700000000011);
INSERT INTO state (key, generation, expires, value) VALUES
  (CAST('group/x' AS BLOB), 7, NULL, X'0102ff'), (X'ff00', 12, 4102444800000, NULL), (CAST('empty' AS BLOB), 0, NULL, X''),
  (CAST('text' AS BLOB), 3, NULL, CAST('{"a":"b"}' AS BLOB));
INSERT INTO gone VALUES (0, 3), (1029, 5);
INSERT INTO rebirth VALUES (5, 2);
COMMIT;
