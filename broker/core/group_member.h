/* A member of a work queue: one half lives with its session, the other with the group's home; each side touches its own
 * fields only, and mail carries what passes between them. Shared by reference count. */
#pragma once

#include "broker/core/group.h"
#include "broker/core/keep.h"
#include "broker/core/query.h"

#include <stdatomic.h>

struct slu_member_state {
    atomic_uint refs;
    struct slu_worker *worker, *home; /* fixed */
    struct slu_bytes filter, name;    /* fixed; own memory */
    uint64_t ack_wait_ms, max_bytes;  /* fixed */
    unsigned max_try;                 /* fixed */
    enum slu_from from;               /* fixed: where a new group begins */
    uint64_t from_n;
    bool has_credit;
    struct slu_pos from_pos;
    struct slu_bytes from_cur;
    /* the session's side */
    struct slu_sub *sub;           /* NULL: left */
    struct slu_reqid id;           /* of the sub that is not yet answered */
    struct slu_member_mail *leave; /* made beforehand: leaving needs no memory */
    /* the home's side */
    struct slu_group *group; /* NULL: not in yet, or left */
    struct slu_list link;    /* group->members */
    uint64_t credit;
    size_t in_flight, in_flight_bytes;
    bool is_full; /* its session has no room: nothing goes there until it says so */
};

struct slu_member_state *slu_member_ref(struct slu_member_state *m);
void slu_member_unref(struct slu_member_state *m);

/* Mail between the two halves. Each takes its own reference; false without memory. */
enum slu_member_op {
    SLU_MEMBER_JOIN,    /* to home, which sends it back as JOINED */
    SLU_MEMBER_LEAVE,   /* to home */
    SLU_MEMBER_CREDIT,  /* to home: n more */
    SLU_MEMBER_ACK,     /* to home: topic, pos, flag = upto */
    SLU_MEMBER_NACK,    /* to home: topic, pos, n = delay, flag = drop */
    SLU_MEMBER_RETURN,  /* to home: a MESSAGE that found no room */
    SLU_MEMBER_ROOM,    /* to home: after RETURN, there is room again */
    SLU_MEMBER_JOINED,  /* to session: err */
    SLU_MEMBER_SETTLED, /* to session: an ACK or NACK that asked, err */
    SLU_MEMBER_END,     /* to session: the group has ended, err */
    SLU_MEMBER_MESSAGE, /* to session: msg, n = try */
    SLU_MEMBER_GAP,     /* to session: topic, n = lost, flag: reason in err's place */
};

/* An ACK or NACK whose sender wants to know when it is kept. */
struct slu_member_ask {
    struct slu_keep_wait wait; /* the home's */
    struct slu_query query;    /* the session's */
    struct slu_member_mail *mail;
};

struct slu_member_mail {
    struct slu_mail mail;
    struct slu_member_ask *ask; /* NULL: nobody asks */
    struct slu_member_state *member;
    enum slu_member_op op;
    uint64_t n;
    bool flag;
    int code; /* enum slu_err, or the gap's reason */
    struct slu_pos pos;
    struct slu_msg *msg;
    struct slu_bytes topic;
    uint8_t bytes[];
};

struct slu_member_mail *slu_member_mail_new(struct slu_member_state *m, enum slu_member_op op, struct slu_bytes topic);
void slu_member_mail_free(struct slu_member_mail *mm);
/* Home's side of a mail (group.c); takes it over. */
void slu_group_take_mail(struct slu_worker *home, struct slu_member_mail *mm);
void slu_member_post_home(struct slu_member_mail *mm);
void slu_member_post_session(struct slu_member_mail *mm);
