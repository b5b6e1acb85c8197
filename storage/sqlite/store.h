/* The SQLite engine inside. One thread, the writer, makes all decisions: it gathers what workers ask for, does it in one
 * transaction, and answers after the flush. Readers have connections of their own.
 *
 * Invariants:
 * 1. What readers know of topics is published after the commit and after the feed: `fed_seq` and each topic's `log`, under
 *    `lock`. Only the writer changes them. What a batch changes stands in drafts until then; dropping them undoes it.
 * 2. Rows at or below a topic's published trimmed_seq may be deleted; all later ones up to fed_seq are there.
 *    So a reader looks at fed_seq, begins to read, then looks at the topic: what it finds from `first` on is whole.
 * 3. Within a topic id the rows are dense in offset and sorted by seq. Ids and seqs never come back.
 * 4. Nothing is answered before the commit; every end is posted after the feed of what it answers.
 * 5. A failed commit leaves nothing in force until the file was opened and checked again. */
#pragma once

#include "broker/base/list.h"
#include "broker/base/map.h"
#include "storage/engine.h"
#include "storage/page.h"
#include "storage/sqlite/file.h"
#include "storage/sqlite/sql.h"
#include "storage/topic_index.h"

#include <pthread.h>

enum {
    SQL_TOPICS_MAX = 1 << 20,
    SQL_IDLE_MAX = 1 << 16,   /* of these, topics that hold nothing but their place */
    SQL_DEDUP_MAX = 1 << 20,  /* dedup keys */
    SQL_RECENT_MAX = 1 << 14, /* of these, with their message in memory, */
    SQL_RECENT_BYTES = 16 << 20,
    SQL_STATES_MAX = 1 << 20,
    SQL_KEPT_MAX = 4096,       /* mirrored values that one batch writes */
    SQL_LOOK_MAX = 4096,       /* rows or topics that one request looks at */
    SQL_BATCH_MAX = 4096,      /* requests in one transaction */
    SQL_BATCH_BYTES = 4 << 20, /* of their messages */
    SQL_SLICE = 256,           /* rows that a piece of background work takes */
    SQL_WINDOW = 64,
    SQL_WINDOWS_MAX = 4096,
    SQL_BUCKETS = 1024, /* a power of two */
    SQL_READERS = 2,
    SQL_PLACES = 64,
};
#define SQL_STATE_BYTES   (UINT64_C(1) << 30)
#define SQL_PAYLOAD_BYTES ((size_t)64 << 20)
#define SQL_PART_BYTES    ((size_t)1 << 20) /* of key, reply topic, headers */
#define SQL_EPOCH_MAX     ((UINT64_C(1) << 53) - 1)

/* Which of the engine's operations a request is: req.op. */
enum sql_op { SQL_OP_APPEND, SQL_OP_LOCATE, SQL_OP_SCAN, SQL_OP_TAIL, SQL_OP_STATE };

/* A topic's log: what its row says, and what is kept beside it. */
struct sql_log {
    uint64_t epoch;
    uint64_t head;                             /* newest offset ever given; 0 = none */
    uint64_t first;                            /* oldest offset held; head + 1: none is */
    uint64_t bytes;                            /* of the messages held */
    uint64_t born_seq;                         /* all of this epoch was committed later */
    uint64_t floor_seq;                        /* of former lives something may have been lost up to here */
    uint64_t trimmed_seq;                      /* seq of the newest message that trimming took; 0 = none */
    uint64_t max_count, max_bytes, max_age_ms; /* of the rule at the latest append */
    uint64_t retained_seq;                     /* of the retained value; 0: it was not logged */
    uint64_t retained_place;                   /* its seq, or where the store was when an unlogged one came */
    bool last_value, has_retained;
};

enum sql_rest {
    SQL_BUSY, /* holds a log or a retained value */
    SQL_LAST, /* holds a last value only */
    SQL_IDLE, /* holds its place only */
};

struct sql_topic {
    struct slu_map_node by_name, by_id;
    struct slu_topic_node node; /* name, and the newest published loss */
    uint64_t id;
    struct sql_log log; /* as published */
    bool is_public;     /* false: its birth is not yet committed */
    /* from here on the writer's alone */
    bool is_forgotten; /* in this batch */
    enum sql_rest rest;
    struct sql_draft *draft; /* of this batch; NULL: untouched */
    struct sql_window *window;
    struct slu_list all, resting;
    struct slu_list unclean; /* rows to be deleted are left; else in no list */
    uint64_t idle_ms;        /* wall clock when it became idle */
    uint64_t first_ts;       /* time of the message at `first`; 0 = unknown */
    uint64_t clean_seq;      /* rows up to here are deleted */
    uint64_t cleaning_seq;   /* and up to here in this batch */
    uint8_t bytes[];
};

struct sql_draft {
    struct sql_log log;
    struct sql_topic *topic;
    struct sql_draft *next;
    bool is_new, is_gone;
};

/* What outlives forgotten topics, by hash bucket: the newest seq they lost, by topic and by first level; and how often
 * that happened, from which the next epochs follow. Topics of a bucket share its caution. */
struct sql_gone {
    uint64_t by_topic[SQL_BUCKETS], by_root[SQL_BUCKETS], generation[SQL_BUCKETS];
    uint64_t newest;
};

/* What the readers know of a topic, at one moment. */
struct sql_view {
    uint64_t fed_seq;
    bool is_known;
    uint64_t id;
    struct sql_log log; /* of a known one */
    uint64_t epoch;     /* of an unknown one: what it will be */
    uint64_t gone_seq;  /* of an unknown one */
};

/* Wakes one thread; a ring while it works is not lost. */
struct sql_bell {
    pthread_mutex_t lock;
    pthread_cond_t rung;
    bool has_rung;
};

struct sql_writer;
struct sql_readers;
struct sql_keeper;
struct sql_kept;

/* Only its worker counts here; a cache line apart. */
struct sql_seat {
    size_t pending;
    uint8_t apart[64 - sizeof(size_t)];
};

struct sql_store {
    struct slu_engine_env env;
    bool is_closed; /* set when no worker runs any more */
    struct sql_file *file;
    uint64_t epoch;       /* of the sequence: goes into cursors; topics' epochs are drawn from it */
    uint64_t started_seq; /* newest seq when the process began: older rows know no publisher */
    _Atomic(const char *) trouble;

    pthread_mutex_t lock;
    uint64_t fed_seq;
    bool is_feeding;    /* readers have messages beyond fed_seq already */
    uint64_t feeds;     /* how often that ended */
    pthread_cond_t fed; /* it ended */
    struct slu_map by_name, by_id;
    struct slu_topic_index index;
    struct sql_gone gone;
    size_t charged; /* memory of topics and their maps, in the account */

    struct sql_writer *writer;
    struct sql_readers *readers;
    struct sql_keeper *keeper;
    struct sql_kept *kept;
    struct sql_seat seats[];
};

static inline uint64_t sql_now(const struct sql_store *st)
{
    return st->env.wall_ms(st->env.arg);
}

static inline bool sql_is_aged(const struct sql_log *log, uint64_t ts_ms, uint64_t now)
{
    return log->max_age_ms && now > ts_ms && now - ts_ms >= log->max_age_ms;
}

/* engine.c: zeroed memory that stands in the account. */
void *sql_alloc(struct sql_store *st, size_t size);
void sql_free(struct sql_store *st, void *p, size_t size);
/* Ends a request with `err`; any of the engine's threads. */
void sql_post_end(struct sql_store *st, struct slu_store_req *req, enum slu_err err);

/* thread.c */
bool sql_thread_start(pthread_t *thread, const char *name, void *(*run)(void *arg), void *arg);
void sql_bell_init(struct sql_bell *b);
void sql_bell_fini(struct sql_bell *b);
void sql_bell_ring(struct sql_bell *b);
void sql_bell_wait(struct sql_bell *b); /* returns after a ring since the last return */

/* view.c: what readers may see. Any thread. */
void sql_view(struct sql_store *st, struct slu_bytes topic, struct sql_view *out);
uint64_t sql_fed_seq(struct sql_store *st);
/* A reader may come with a position that it was fed a moment ago: waits until the feed under way, if any, is over and
 * what readers may see includes it. Only the engine's own threads may wait. */
void sql_wait_fed(struct sql_store *st);
/* The first published topic after `name` (at it, when inclusive) that begins with prefix, and its view. False: none.
 * `name` has room for SLU_TOPIC_MAX bytes. */
bool sql_view_next(struct sql_store *st, struct slu_bytes prefix, struct slu_bytes after, bool exclusive, uint8_t *name,
                   size_t *len, struct sql_view *out);
/* By id; name as above. */
bool sql_view_id(struct sql_store *st, uint64_t id, uint8_t *name, size_t *len, struct sql_log *out);
/* Something that matches was lost, the newest of it in (after, upto]. */
bool sql_view_lost(struct sql_store *st, struct slu_bytes filter, uint64_t after, uint64_t upto);

/* The hash buckets of a topic or exact filter, and of its first level; the same in every process. */
size_t sql_bucket(struct slu_bytes topic);
size_t sql_root_bucket(struct slu_bytes topic);
/* The epoch of a topic that is born in that generation of its bucket. */
uint64_t sql_epoch(const struct sql_store *st, uint64_t generation);

/* row.c: messages as rows. */
enum { SQL_FLAG_RETAIN = 1, SQL_FLAG_EMPTY = 2 /* its time to live ended, only its place is kept */ };
struct sql_row {
    uint64_t seq, topic, offset, ts_ms, expires_ms, size, kind, form, flags, publisher;
    struct slu_bytes key, reply, headers, payload; /* borrowed from the statement */
};
/* The columns of SQL_ROW. False: they make no sense. */
bool sql_row_read(sqlite3_stmt *s, struct sql_row *out);
static inline bool sql_row_is_live(const struct sql_row *r, uint64_t now)
{
    return !(r->flags & SQL_FLAG_EMPTY) && (!r->expires_ms || r->expires_ms > now);
}
size_t sql_row_size(const struct sql_row *r, struct slu_bytes topic); /* of the message that it becomes */
/* NULL: no memory. */
struct slu_msg *sql_row_message(const struct sql_store *st, const struct sql_row *r, struct slu_bytes topic,
                                uint64_t epoch);
/* Binds parameters 1 to 14. */
void sql_row_bind(sqlite3_stmt *s, const struct slu_msg *m, uint64_t topic);

/* readers.c */
struct sql_reader;
enum slu_err sql_readers_start(struct sql_store *st);
/* Takes a request; any thread. */
void sql_readers_ask(struct sql_store *st, struct slu_store_req *req);
/* Closes their connections, after the requests under way, until _resume: requests meanwhile end as unavailable. */
void sql_readers_pause(struct sql_store *st);
void sql_readers_resume(struct sql_store *st);
/* Joins the threads; what waits ends as closed. */
void sql_readers_stop(struct sql_store *st);

/* kept.c: mirrored values on their way to the file. */
enum slu_err sql_kept_start(struct sql_store *st);
void sql_kept_stop(struct sql_store *st);
void sql_kept_add(struct sql_store *st, struct slu_bytes topic, struct slu_msg *m); /* any thread */
enum slu_err sql_kept_each(struct sql_store *st, enum slu_err (*each)(void *arg, struct slu_msg *msg), void *arg);
/* The writer's: writes some; then exactly one of the other two. */
bool sql_kept_any(struct sql_store *st);
bool sql_kept_sweep(struct sql_writer *w); /* expired ones; true: done */
void sql_kept_write(struct sql_store *st, struct sql_db *db);
void sql_kept_committed(struct sql_store *st);
void sql_kept_undo(struct sql_store *st);

/* keeper.c: the thread that carries the log of changes over into the file (checkpoints), and checks the file after a
 * failure, so that the writer can go on answering. */
enum sql_check { SQL_CHECK_NONE, SQL_CHECK_RUNNING, SQL_CHECK_SOUND, SQL_CHECK_UNSOUND };
enum slu_err sql_keeper_start(struct sql_store *st);
void sql_keeper_stop(struct sql_store *st);
void sql_keeper_pause(struct sql_store *st); /* closes its connection, until _resume */
void sql_keeper_resume(struct sql_store *st);
/* While it is paused: starts a check if none runs, and takes the result, once. */
enum sql_check sql_keeper_check(struct sql_store *st);
/* The writer tells how many pages wait; true: it should finish the work itself, between two batches. `rc` gets how the
 * last pass failed, once. */
bool sql_keeper_tell(struct sql_store *st, unsigned pages, int *rc);
/* Not when somebody else is at it, or when the file cannot grow: what waits is safe where it is. */
bool sql_checkpoint_failed(int rc);
