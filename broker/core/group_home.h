/* The home's half of a work queue, private to the files that make it up: group.c (its life and its members), group_task.c
 * (what becomes of each message), group_state.c (what is remembered of it).
 *
 * 1. A task is a message that was read for the group and not yet acknowledged. It is with a member, waits for its delay (a
 *    timer), is being buried, or is ready to go out again; and one that is remembered from a former life waits until the
 *    log brings its message.
 * 2. Tasks that are ready go before new messages; so order is kept until the first redelivery, not after.
 * 3. The group reads on only while some member has room; otherwise its reader is paused and the log holds the rest.
 *    So a group's memory is bounded by its members' windows.
 * 4. Whatever changes a task is followed by slu_group_changed: it is written down soon. */
#pragma once

#include "broker/core/group_member.h"
#include "broker/core/keep.h"

struct slu_burial;

struct slu_task {
    struct slu_map_node node;
    struct slu_list link;    /* group->ready, group->out, or none */
    struct slu_list in_home; /* by seq */
    struct slu_timer timer;
    struct slu_group *group;
    struct slu_member_state *member; /* NULL: with nobody */
    struct slu_msg *msg;             /* NULL: remembered, not yet read again */
    struct slu_burial *burial;       /* on its way to $DEAD */
    unsigned tries, home;
    uint64_t seq;           /* 0: in no log */
    uint64_t not_before_ms; /* of one that is remembered: wall clock */
    struct slu_pos pos;
    struct slu_bytes topic, key; /* key: offset, epoch, topic */
    uint8_t bytes[];
};

struct slu_group_home {
    struct slu_list tasks;
    uint64_t read;       /* up to here all was handed out in a former life: what is not a task is done */
    uint64_t epoch;      /* of the home, in that life */
    uint64_t missed;     /* left to the log for want of memory; 0 = none */
    size_t n_remembered; /* tasks without their message */
    bool starts_over;
};

struct slu_group {
    struct slu_map_node node;
    struct slu_worker *worker;
    struct slu_sub *sub; /* the reader; NULL until the store has answered */
    struct slu_keep *keep;
    struct slu_keep_wait begin;
    struct slu_member_state *maker; /* says where it begins; NULL once it does */
    struct slu_list members, ready, out;
    struct slu_mail *joining; /* not answered before the group reads, newest first */
    struct slu_map tasks;
    struct slu_timer idle;
    unsigned n_members;
    bool is_taken_up; /* it was remembered */
    uint64_t ack_wait_ms;
    unsigned max_try;             /* 0 = without end */
    struct slu_group_home *homes; /* one for each of the store's */
    struct slu_bytes key;         /* name NUL filter */
    uint8_t bytes[];
};

/* group.c: ends it; err: what those are told who wait for their ok, or for an `end`. */
void slu_group_end(struct slu_group *g, enum slu_err err);

/* group_task.c */
void slu_group_tasks_init(struct slu_group *g);
struct slu_task *slu_task_new(struct slu_group *g, struct slu_bytes topic, struct slu_pos pos, unsigned home,
                              uint64_t seq); /* NULL: no memory, or there is one */
struct slu_task *slu_task_find(const struct slu_group *g, struct slu_bytes topic, struct slu_pos pos);
void slu_task_free(struct slu_task *t);
/* It goes out again, or not at all (expired, max_try). Not from inside a delivery. */
void slu_task_give_back(struct slu_task *t);
/* What is ready goes out; with room left the reader goes on. */
void slu_group_pump(struct slu_group *g);
void slu_group_ack(struct slu_group *g, const struct slu_member_mail *mm);
void slu_group_nack(struct slu_group *g, const struct slu_member_mail *mm);
void slu_group_returned(struct slu_group *g, const struct slu_member_mail *mm);

/* group_state.c */
void slu_group_changed(struct slu_group *g);
/* Claims the state; the reader is made when the store has answered. False without memory. */
bool slu_group_claim(struct slu_group *g);
/* Everything of this home that was remembered has been read again: what did not come is gone, and told. */
void slu_group_tell_lost(struct slu_group *g, unsigned home, enum slu_gap_reason reason);
