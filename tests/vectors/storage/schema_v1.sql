-- A database as version 1 of the schema left it: no reply topics, no table `gone`, no stamps. With content of each sort.
PRAGMA auto_vacuum=INCREMENTAL;
PRAGMA journal_mode=WAL;
BEGIN;
PRAGMA application_id=0x534c5543;
PRAGMA user_version=1;
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE topic (id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE, epoch INTEGER NOT NULL, head INTEGER NOT NULL,
  first INTEGER NOT NULL, bytes INTEGER NOT NULL, born_seq INTEGER NOT NULL, floor_seq INTEGER NOT NULL,
  trimmed_seq INTEGER NOT NULL, max_count INTEGER NOT NULL, max_bytes INTEGER NOT NULL, max_age_ms INTEGER NOT NULL,
  last_value INTEGER NOT NULL);
CREATE TABLE message (seq INTEGER PRIMARY KEY, topic INTEGER NOT NULL, offset INTEGER NOT NULL, ts INTEGER NOT NULL,
  expires INTEGER, size INTEGER NOT NULL, kind INTEGER NOT NULL, form INTEGER NOT NULL, flags INTEGER NOT NULL,
  publisher INTEGER, key BLOB, headers BLOB, payload BLOB);
CREATE INDEX message_topic ON message(topic);
CREATE INDEX message_expiry ON message(expires) WHERE expires IS NOT NULL;
CREATE TABLE retained (topic INTEGER PRIMARY KEY, seq INTEGER NOT NULL, offset INTEGER NOT NULL, ts INTEGER NOT NULL,
  expires INTEGER, size INTEGER NOT NULL, kind INTEGER NOT NULL, form INTEGER NOT NULL, flags INTEGER NOT NULL,
  publisher INTEGER, key BLOB, headers BLOB, payload BLOB);
CREATE TABLE mirror (name BLOB PRIMARY KEY, seq INTEGER NOT NULL, offset INTEGER NOT NULL, ts INTEGER NOT NULL,
  expires INTEGER, size INTEGER NOT NULL, kind INTEGER NOT NULL, form INTEGER NOT NULL, flags INTEGER NOT NULL,
  publisher INTEGER, key BLOB, headers BLOB, payload BLOB);
CREATE TABLE dedup (topic INTEGER, key BLOB, offset INTEGER, matched INTEGER, at_ms INTEGER, PRIMARY KEY(topic, key))
  WITHOUT ROWID;
CREATE INDEX dedup_age ON dedup(at_ms);
CREATE TABLE state (key BLOB PRIMARY KEY, generation INTEGER NOT NULL, expires INTEGER, value BLOB) WITHOUT ROWID;
INSERT INTO meta VALUES ('cursor_epoch', 4567890123), ('generation', 7);
INSERT INTO topic VALUES
  (1, CAST('prices/a' AS BLOB), 111222333, 4, 2, 600, 1, 0, 2, 100, 0, 0, 1),
  (2, CAST('prices/b' AS BLOB), 444555666, 1, 1, 200, 1, 0, 0, 0, 65536, 60000, 0);
INSERT INTO message VALUES
  (3, 1, 2, 1700000000002, NULL, 200, 0, 1, 0, 9, CAST('k' AS BLOB), NULL, CAST('{"p":12345678901234567890}' AS BLOB)),
  (4, 2, 1, 1700000000003, 4102444800000, 200, 1, 0, 0, NULL, NULL, X'010061020062', CAST('text' AS BLOB)),
  (6, 1, 3, 1700000000004, NULL, 200, 2, 0, 0, 9, NULL, NULL, X'00ff10'),
  (7, 1, 4, 1700000000005, NULL, 200, 0, 1, 1, 9, NULL, NULL, CAST('4' AS BLOB));
INSERT INTO retained VALUES (1, 7, 4, 1700000000005, NULL, 200, 0, 1, 1, 9, NULL, NULL, CAST('4' AS BLOB));
INSERT INTO mirror VALUES (CAST('door/open' AS BLOB), 0, 0, 1700000000006, NULL, 200, 0, 1, 1, 3, NULL, NULL,
  CAST('true' AS BLOB));
INSERT INTO dedup VALUES (1, CAST('once' AS BLOB), 3, 2, 1700000000004);
INSERT INTO state VALUES (CAST('group/x' AS BLOB), 7, NULL, X'0102');
COMMIT;
