/* The writer's own state: what only its thread touches. */
#pragma once

#include "storage/sqlite/store.h"

/* Seq, time and size of a topic's oldest messages, from `log.first` on, so that trimming need not look at rows. */
struct sql_oldest {
    uint64_t seq, ts_ms, size;
};
struct sql_window {
    struct slu_list use; /* writer.windows, latest use last */
    struct sql_topic *topic;
    unsigned start, n; /* a ring */
    struct sql_oldest slots[SQL_WINDOW];
};

/* Dedup keys of the last seconds hold their message. */
struct sql_recent {
    struct slu_map map;
    struct slu_list order;    /* oldest first */
    struct slu_list settling; /* their rows are updated in this batch */
    struct slu_list added;    /* in this batch; by another link */
    size_t n, bytes;
    bool replaces; /* the append under way repeats a key whose window is over */
};

/* Numbers that a batch changes and its undoing sets back. */
struct sql_totals {
    uint64_t seq;    /* newest given */
    uint64_t max_ts; /* greatest time of all messages up to it */
    uint64_t dedups, states, state_bytes;
    uint64_t next_id; /* of topics */
};

/* The requests of one transaction and what they changed. */
struct sql_batch {
    struct slu_mail *first, **end; /* in order */
    size_t n, bytes, stored;
    struct sql_draft *drafts, **drafts_end;
    struct sql_totals before;
    uint64_t generation_before;
    bool has_gone; /* gone differs from what is published */
    bool is_begun;
    int changes;             /* of the connection, when it began */
    struct slu_list cleaned; /* topics whose rows were deleted */
};

enum sql_health {
    SQL_WELL,
    SQL_NO_ROOM, /* the disk was full at the last try */
    SQL_FAILED,  /* nothing is stored until the file was checked */
};

/* Background work that a tick makes due; each piece goes on, a slice in each batch, until it says that it is done. */
enum sql_chore {
    SQL_CHORE_AGE,
    SQL_CHORE_EXPIRED,
    SQL_CHORE_RETAINED,
    SQL_CHORE_MIRROR,
    SQL_CHORE_DEDUP,
    SQL_CHORE_STATE,
    SQL_CHORE_IDLE,
    SQL_CHORES,
};

struct sql_writer {
    struct sql_store *st;
    pthread_t thread;
    struct sql_bell bell;
    struct slu_mailbox box;
    atomic_bool has_ticked, is_stopping;

    struct sql_db db;
    enum sql_health health;
    unsigned pages; /* that wait in the log of changes */
    uint64_t now;   /* wall clock of the latest gathering */
    struct sql_batch batch;
    struct sql_totals totals;
    uint64_t generation, generation_stored; /* of state claims */
    struct sql_gone gone;                   /* with what this batch forgot */
    struct slu_list all;                    /* topics; where the age sweep stands is its front */
    struct slu_list lasts, idle;            /* topics by `resting`, longest first */
    struct slu_list unclean;
    size_t n_idle, age_left; /* topics that this sweep has yet to see */
    struct slu_list windows;
    size_t n_windows;
    struct sql_draft *spare_drafts;
    struct sql_recent recent;
    bool due[SQL_CHORES];
    bool has_probe; /* the row that tried for room is in the file */
    bool may_vacuum;
    bool backs_off; /* a batch failed: no background work until the next tick */
};

/* writer.c */
bool sql_writer_connect(struct sql_writer *w);
enum slu_err sql_writer_new(struct sql_store *st, struct slu_buf *why); /* loads; call _free even if it fails */
enum slu_err sql_writer_start(struct sql_store *st);
void sql_writer_ask(struct sql_store *st, struct slu_store_req *req);
void sql_writer_wake(struct sql_store *st);
void sql_writer_tick(struct sql_store *st);
/* Joins the thread; what waits ends as closed. */
void sql_writer_stop(struct sql_store *st);
void sql_writer_free(struct sql_store *st);
static inline bool sql_is_broken(const struct sql_writer *w)
{
    return w->db.rc != SQLITE_OK;
}

/* load.c: everything in memory from the file, at the start and after a repair. */
enum slu_err sql_load(struct sql_writer *w, struct slu_buf *why);
/* repair.c: after a failure, once a tick: closes all connections, checks the file, loads it anew. */
void sql_repair(struct sql_writer *w);
/* What a failed statement means for the engine; takes and clears db.rc. */
void sql_note_failure(struct sql_writer *w, bool at_commit);
void sql_note_stored(struct sql_writer *w); /* something new is in the file */

/* topics.c */
void sql_topics_init(struct sql_writer *w);
void sql_topics_free(struct sql_writer *w);
struct sql_topic *sql_topic_find(struct sql_writer *w, struct slu_bytes name);
struct sql_topic *sql_topic_by_id(struct sql_writer *w, uint64_t id);
/* One that is there already: at the start. */
struct sql_topic *sql_topic_add(struct sql_writer *w, uint64_t id, struct slu_bytes name, const struct sql_log *log);
enum slu_err sql_topic_need(struct sql_writer *w, struct slu_bytes name, struct sql_topic **out);
static inline const struct sql_log *sql_log_of(const struct sql_topic *t)
{
    return t->draft ? &t->draft->log : &t->log;
}
/* The log to change in this batch; NULL: no memory. */
struct sql_log *sql_touch(struct sql_writer *w, struct sql_topic *t);
void sql_topics_write(struct sql_writer *w);     /* rows, before the commit */
void sql_topics_committed(struct sql_writer *w); /* publishes drafts and fed_seq */
void sql_topics_undo(struct sql_writer *w);
/* Forgets some that were idle for long, or too many; true: done. */
bool sql_topics_sweep(struct sql_writer *w);
/* Puts a topic where what it holds belongs. */
void sql_topic_rest(struct sql_writer *w, struct sql_topic *t);

/* trim.c */
void sql_trim_init(struct sql_writer *w);
bool sql_window_reserve(struct sql_writer *w, struct sql_topic *t); /* false: no memory */
void sql_window_drop(struct sql_writer *w, struct sql_topic *t);
void sql_windows_free(struct sql_writer *w);
void sql_window_push(struct sql_topic *t, const struct slu_msg *m); /* the topic's newest */
void sql_window_forget(struct sql_topic *t);
/* Of a reserved window and a touched log. By count and bytes, so that one of `size` fits; the newest stays. */
void sql_trim_for(struct sql_writer *w, struct sql_topic *t, struct sql_log *log, uint64_t size);
/* At most max messages; true when no more is due. */
bool sql_trim_aged(struct sql_writer *w, struct sql_topic *t, struct sql_log *log, size_t max);
bool sql_age_sweep(struct sql_writer *w);
bool sql_expiry_sweep(struct sql_writer *w);
/* Deletes at most max rows that were trimmed; true when none is left. */
bool sql_clean(struct sql_writer *w, size_t max);
void sql_clean_committed(struct sql_writer *w);
void sql_clean_undo(struct sql_writer *w);
void sql_mark_unclean(struct sql_writer *w, struct sql_topic *t); /* if it is, by its published log */

/* append.c */
enum slu_err sql_append(struct sql_writer *w, struct slu_append *a);
bool sql_retained_sweep(struct sql_writer *w);

/* dedup.c */
void sql_dedup_init(struct sql_writer *w);
void sql_dedup_fini(struct sql_writer *w);
/* Fills the answer in if the key is known; t may be NULL. Comes before the others for each message with a key. */
bool sql_dedup_find(struct sql_writer *w, const struct sql_topic *t, struct slu_append *a);
/* Before anything else of the message is changed; false: no memory. */
bool sql_dedup_reserve(struct sql_writer *w, const struct sql_topic *t, struct slu_msg *m);
void sql_dedup_add(struct sql_writer *w, const struct sql_topic *t, const struct slu_msg *m); /* after reserve */
void sql_dedup_committed(struct sql_writer *w);
void sql_dedup_undo(struct sql_writer *w);
bool sql_dedup_sweep(struct sql_writer *w);

/* state.c */
enum slu_err sql_state(struct sql_writer *w, struct slu_state *s);
bool sql_state_sweep(struct sql_writer *w);
